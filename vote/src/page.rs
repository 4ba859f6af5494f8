//! The voting page. It works without a script; with one, the script votes and puts in place what is new on the page.

use std::mem::{Discriminant, discriminant};

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use shared::{
    http::{TimeText, html},
    language::Language,
    poll::{Phase, Poll, PollOption},
};

use crate::{
    described::RefusedPage, form, form::VoteForm, identity::Identity, refusal::Refusal,
    routes::App, sent::Sent, texts::Texts,
};

const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Template)]
#[template(path = "vote.html")]
struct VotePage<'a> {
    app: &'a App,
    poll: &'a Poll,
    language: Language,
    texts: &'a Texts,
    phase: Phase,
    /// When the poll opens, closes or closed.
    phase_text: Option<TimeText<'a>>,
    /// How soon the poll opens or closes, in milliseconds.
    next_change_ms: Option<i64>,
    /// The place of the option this voter last voted for.
    chosen: Option<usize>,
    notice: Notice<'a>,
}

/// What tells one voter's page from another's, where many are told the same.
#[derive(PartialEq, Eq, Hash)]
pub struct Kind {
    chosen: Option<usize>,
    said: Said,
}

/// What many are told.
#[derive(PartialEq, Eq, Hash)]
enum Said {
    Hint,
    Accepted,
    Refused(Discriminant<Refusal>),
}

/// What makes such a page another one in the course of time.
#[derive(PartialEq)]
pub struct Version {
    phase: Phase,
    /// How soon the phase changes is said as exactly as this.
    tenth_of_a_second: Option<i64>,
}

/// What the voter is told.
enum Notice<'a> {
    /// What to do.
    Hint,
    /// The vote just sent is accepted.
    Accepted,
    /// The vote just sent is not.
    Refused(&'a Refusal),
}

impl Notice<'_> {
    /// What is said, if others are told the same.
    fn said(&self) -> Option<Said> {
        match self {
            Self::Hint => Some(Said::Hint),
            Self::Accepted => Some(Said::Accepted),
            Self::Refused(refusal) => refusal
                .is_everybodys()
                .then(|| Said::Refused(discriminant(refusal))),
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Hint => "",
            Self::Accepted => " good",
            Self::Refused(_) => " bad",
        }
    }

    fn role(&self) -> &'static str {
        match self {
            Self::Refused(_) => "alert",
            Self::Hint | Self::Accepted => "status",
        }
    }
}

/// The voting page
///
/// In HTML; it works without a script and remembers this voter's choice.
#[utoipa::path(get, path = "/", tag = "page", operation_id = "get_voting_page", responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html",
        headers(("Set-Cookie" = String, description = "Who this voter is."))),
))]
pub async fn show(State(app): State<App>, request: Request) -> Response {
    let identity = Identity::of(request.headers(), &app.keys);
    respond(
        &app,
        request.headers(),
        StatusCode::OK,
        &identity,
        Notice::Hint,
    )
}

/// Vote by the page's form
///
/// The answer is the page again, which says what became of the vote.
#[utoipa::path(post, path = "/", tag = "page", operation_id = "vote_by_form",
    request_body(content = VoteForm, content_type = "application/x-www-form-urlencoded",
        description = "The choice, in at most 4096 bytes."),
    responses(
        (status = OK, description = "The queue has the vote on its disk.", body = String, content_type = "text/html",
            headers(("Set-Cookie" = String, description = "Who voted."))),
        RefusedPage,
    ),
)]
pub async fn submit(State(app): State<App>, sent: Sent) -> Response {
    let (headers, identity) = (&sent.headers, Identity::of(&sent.headers, &app.keys));
    match app.cast(&identity, &sent, FORM, form::vote).await {
        Ok(receipt) => {
            let identity = identity.having_chosen(&receipt.choice);
            respond(&app, headers, StatusCode::OK, &identity, Notice::Accepted)
        }
        Err(refusal) => {
            let notice = Notice::Refused(&refusal);
            let mut response = respond(&app, headers, refusal.status(), &identity, notice);
            if let Some(seconds) = refusal.retry_after() {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// The page for this voter, who is known by its cookie from now on.
fn respond(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    identity: &Identity,
    notice: Notice<'_>,
) -> Response {
    let language = Language::asked_for(headers);
    let is_chosen = |option: &PollOption| option.key.as_str() == identity.chosen;
    let chosen = app.poll().options.iter().position(is_chosen);
    let now = app.poll().schedule.now();
    let said = notice.said();
    let page = || VotePage::new(app, language, now, chosen, notice);
    let page = if let Some(said) = said {
        let shown = (Kind { chosen, said }, Version::at(now, app.poll()));
        app.pages.answer(headers, language, shown, page)
    } else {
        html(&page(), language, headers)
    };
    let personal = [
        (header::SET_COOKIE, identity.cookie(&app.keys)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, personal, page).into_response()
}

impl Version {
    fn at(now: Timestamp, poll: &Poll) -> Self {
        let changes = poll.schedule.next_change(now).is_some();
        Self {
            phase: poll.schedule.phase(now),
            tenth_of_a_second: changes.then(|| now.as_millisecond() / 100),
        }
    }
}

impl<'a> VotePage<'a> {
    fn new(
        app: &'a App,
        language: Language,
        now: Timestamp,
        chosen: Option<usize>,
        notice: Notice<'a>,
    ) -> Self {
        let texts = &app.texts[language];
        let schedule = &app.poll().schedule;
        let phase = schedule.phase(now);
        let (text, moment) = match phase {
            Phase::NotOpenYet => (&texts.opens, schedule.opens_at()),
            Phase::Open => (&texts.closes, schedule.closes_at()),
            Phase::Closed => (&texts.closed, schedule.closes_at()),
        };
        Self {
            app,
            poll: app.poll(),
            language,
            texts,
            phase,
            phase_text: moment.map(|moment| TimeText::new(text, moment)),
            next_change_ms: schedule
                .next_change(now)
                .map(|moment| moment.as_millisecond() - now.as_millisecond()),
            chosen,
            notice,
        }
    }

    /// The label of the option this voter voted for.
    fn choice(&self) -> &str {
        let chosen = self
            .chosen
            .and_then(|place| self.poll.options.iter().nth(place));
        chosen.map_or("", |option| &option.label)
    }
}
