//! The voting page. It works without a script; with one, the script votes and puts in place what is new on the page.

use std::mem::{Discriminant, discriminant};

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, IntoResponseParts, Response},
};
use jiff::Timestamp;
use poll::{Phase, Poll, PollOption};
use web::{TimeText, html, html_uncompressed, language::Language};

use crate::{
    csrf::{self, Token},
    described::RefusedPage,
    form::{Form, VoteForm, VoteFormInParts},
    identity::Identity,
    refusal::Refusal,
    routes::App,
    sent::Sent,
    texts::Texts,
};

/// The page to which a browser is sent after its vote. Relative, so that it is right below any path.
const PAGE: HeaderValue = HeaderValue::from_static("./");
/// The same for a browser that had no cookie: it should come with one.
const PAGE_AFTER_FIRST_VOTE: HeaderValue = HeaderValue::from_static("./?voted");
const VOTED: &str = "voted";

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
    /// The form's token, for a browser that does not say where its requests come from.
    token: Option<String>,
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
    CookieNotKept,
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
    /// To wait.
    NotOpenYet,
    /// That it is too late.
    Over,
    /// The same, and the voter's choice.
    OverWithChoice,
    /// This voter's last vote is accepted.
    Accepted,
    /// It is, and the cookie that the browser was given before did not come back.
    CookieNotKept,
    /// The vote just sent is not.
    Refused(&'a Refusal),
}

impl Notice<'_> {
    /// What is said, if others are told the same.
    fn said(&self) -> Option<Said> {
        match self {
            Self::Hint | Self::NotOpenYet | Self::Over | Self::OverWithChoice => Some(Said::Hint),
            Self::Accepted => Some(Said::Accepted),
            Self::CookieNotKept => Some(Said::CookieNotKept),
            Self::Refused(refusal) => refusal
                .is_everybodys()
                .then(|| Said::Refused(discriminant(refusal))),
        }
    }

    /// The same, with a hint that fits.
    fn in_phase(self, phase: Phase, has_chosen: bool) -> Self {
        match (&self, phase, has_chosen) {
            (Self::Hint, Phase::NotOpenYet, _) => Self::NotOpenYet,
            (Self::Hint, Phase::Closed, false) => Self::Over,
            (Self::Hint, Phase::Closed, true) => Self::OverWithChoice,
            _ => self,
        }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Accepted => " good",
            Self::CookieNotKept | Self::Refused(_) => " bad",
            _ => "",
        }
    }

    fn role(&self) -> &'static str {
        match self {
            Self::Refused(_) => "alert",
            _ => "status",
        }
    }
}

/// The voting page
///
/// In HTML; it works without a script and remembers this voter's choice.
#[utoipa::path(get, path = "/", tag = "page", operation_id = "get_voting_page",
    security((), ("voter" = [])), responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html",
        headers(("Set-Cookie" = String, description = "Who this voter is, where the page's form has a token: for a client \
            that sends no Sec-Fetch-Site."))),
))]
pub async fn show(State(app): State<App>, request: Request) -> Response {
    let headers = request.headers();
    let visit = Visit::new(&app, headers);
    let came_back = request.uri().query() == Some(VOTED) && csrf::is_same_origin(headers);
    let notice = if visit.chosen().is_some() && visit.is_open() {
        Notice::Accepted
    } else if came_back && !visit.identity.has_cookie {
        Notice::CookieNotKept
    } else {
        Notice::Hint
    };
    let needs_token = !csrf::has_fetch_metadata(headers);
    let needs_cookie = needs_token && !visit.identity.has_cookie;
    visit.respond(StatusCode::OK, notice, needs_token, needs_cookie)
}

/// Vote by the page's form
///
/// The answer is the page again, which says what became of the vote. A browser that goes to it is sent there by 303.
#[utoipa::path(post, path = "/", tag = "page", operation_id = "vote_by_form",
    security((), ("voter" = [])),
    request_body(content(
        (VoteForm = "application/x-www-form-urlencoded"),
        (VoteFormInParts = "multipart/form-data"),
    ), description = "The choice, in at most 4096 bytes."),
    responses(
        (status = OK, description = "The queue has the vote on its disk.", body = String, content_type = "text/html",
            headers(("Set-Cookie" = String, description = "Who voted."))),
        (status = SEE_OTHER, description = "The same, for a browser that goes to the page: it is there.",
            headers(("Set-Cookie" = String, description = "Who voted."), ("Location" = String, description = "The page."))),
        RefusedPage,
    ),
)]
pub async fn submit(State(app): State<App>, sent: Sent) -> Response {
    let mut visit = Visit::new(&app, &sent.headers);
    let form = Form::read(&sent).await;
    let fields = form.as_ref().ok();
    let token = visit.token(fields.and_then(|form| form.token.as_deref()));
    let key = form.as_ref().map_err(Clone::clone).and_then(Form::vote);
    if let Some(attempt) = fields.and_then(|form| form.attempt.as_deref()) {
        visit.identity = visit.identity.of_attempt(attempt, &app.keys);
    }
    let outcome = app.cast(&visit.identity, &sent, token, key).await;
    // Programs, which send neither, have no use for a token.
    let is_browser = sent.headers.contains_key(header::ORIGIN);
    let needs_token = is_browser && !csrf::has_fetch_metadata(&sent.headers);
    match outcome {
        Ok(receipt) => {
            let had_cookie = visit.identity.has_cookie;
            visit.identity = visit.identity.with_choice(&receipt.choice);
            let not_kept = !had_cookie && fields.is_some_and(|form| form.has_cookie);
            // Without a cookie the page can say that only here, unless the browser says that it comes from here.
            let is_said_there = !not_kept || csrf::has_fetch_metadata(&sent.headers);
            if csrf::is_navigation(&sent.headers) && is_said_there {
                return visit.redirect(had_cookie);
            }
            let notice = if not_kept {
                Notice::CookieNotKept
            } else {
                Notice::Accepted
            };
            visit.respond(StatusCode::OK, notice, needs_token, true)
        }
        Err(refusal) => {
            let notice = Notice::Refused(&refusal);
            let needs_cookie = refusal.is_uncertain();
            let needs_token = needs_token && (visit.identity.has_cookie || needs_cookie);
            let status = refusal.status();
            let mut response = visit.respond(status, notice, needs_token, needs_cookie);
            if let Some(seconds) = refusal.retry_after() {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// A voter at the page.
struct Visit<'a> {
    app: &'a App,
    headers: &'a HeaderMap,
    now: Timestamp,
    identity: Identity,
}

impl<'a> Visit<'a> {
    fn new(app: &'a App, headers: &'a HeaderMap) -> Self {
        let now = app.poll().schedule.now();
        Self {
            app,
            headers,
            now,
            identity: Identity::of(headers, &app.keys, app.context(now)),
        }
    }

    /// The place of the option that this voter last voted for.
    fn chosen(&self) -> Option<usize> {
        let is_chosen = |option: &PollOption| option.key.as_str() == self.identity.last_choice;
        self.app.poll().options.iter().position(is_chosen)
    }

    fn is_open(&self) -> bool {
        self.app.poll().schedule.phase(self.now) == Phase::Open
    }

    /// Checks the token of a form.
    fn token(&self, token: Option<&str>) -> Token {
        match token {
            None => Token::None,
            Some(_) if !self.identity.has_cookie => Token::WithoutCookie,
            Some(token) if self.identity.is_token(token, &self.app.keys) => Token::Valid,
            Some(_) => Token::Invalid,
        }
    }

    /// The page for this voter, who is known by its cookie from now on if it is given one. A page with a token is this
    /// voter's alone; the others are rendered once for many.
    fn respond(
        &self,
        status: StatusCode,
        notice: Notice<'_>,
        needs_token: bool,
        needs_cookie: bool,
    ) -> Response {
        let (app, now, chosen) = (self.app, self.now, self.chosen());
        let language = Language::negotiate(self.headers);
        let said = notice.said();
        let token = needs_token.then(|| self.identity.form_token(&app.keys));
        let is_personal = token.is_some();
        let page = || VotePage::new(app, language, now, chosen, notice, token);
        let page = match said {
            _ if is_personal => html_uncompressed(&page(), language),
            Some(said) => {
                let shown = (Kind { chosen, said }, Version::at(now, app.poll()));
                app.pages.respond(self.headers, language, shown, page)
            }
            None => html(&page(), language, self.headers),
        };
        let no_store = [(header::CACHE_CONTROL, "no-store")];
        if needs_cookie {
            (status, no_store, self.set_cookies(), page).into_response()
        } else {
            (status, no_store, page).into_response()
        }
    }

    /// Sends the browser to the page, so that Back and Reload do not vote again.
    fn redirect(&self, had_cookie: bool) -> Response {
        let page = if had_cookie {
            PAGE
        } else {
            PAGE_AFTER_FIRST_VOTE
        };
        let headers = [
            (header::LOCATION, page),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (StatusCode::SEE_OTHER, headers, self.set_cookies()).into_response()
    }

    fn set_cookies(&self) -> impl IntoResponse + IntoResponseParts + use<> {
        let context = self.app.context(self.now);
        self.identity
            .set_cookies(&self.app.keys, context, self.headers)
    }
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
        token: Option<String>,
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
            notice: notice.in_phase(phase, chosen.is_some()),
            token,
        }
    }

    /// Returns true if the browser was given a cookie.
    fn has_cookie(&self) -> bool {
        let has_voted = matches!(self.notice, Notice::Accepted | Notice::CookieNotKept);
        has_voted || self.token.is_some()
    }

    /// The label of the option this voter voted for.
    fn choice(&self) -> &str {
        let chosen = self
            .chosen
            .and_then(|place| self.poll.options.iter().nth(place));
        chosen.map_or("", |option| &option.label)
    }
}
