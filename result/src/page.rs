//! The result page. Its first paint is right without a script; with one it stays right.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use poll::{Phase, Poll};
use web::{Problem, TimeText, html, language::Language};

use crate::{
    api,
    chart::{self, Chart},
    outcome,
    routes::App,
    snapshot::{Snapshot, TallyDocument},
    texts::Texts,
    timeline::Timeline,
};

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage<'a> {
    app: &'a App,
    poll: &'a Poll,
    language: Language,
    texts: &'a Texts,
    /// `None` before the store has answered once.
    tally: Option<&'a TallyDocument>,
    /// When the poll opens, closes or closed.
    phase_text: Option<TimeText<'a>>,
    chart: Option<&'a Chart>,
    /// True once voting has ended.
    is_closed: bool,
    /// The winner, once that is known; else empty.
    outcome: String,
    /// The words for no votes at all.
    no_votes: &'a str,
    /// The voting page, until voting has ended.
    vote_url: Option<&'a str>,
    /// Whether the page is shown within somebody else's.
    embedded: bool,
}

/// What can be asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The page.
    Page,
    /// The page within somebody else's.
    Embedded,
    /// The part with the votes over time.
    Timeline,
}

/// What makes it another one: the ids of what it shows, and how old that is where it says so.
#[derive(PartialEq)]
pub struct Version {
    tally: Arc<str>,
    stale_since: Option<Timestamp>,
    timeline: Option<Arc<str>>,
}

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePart<'a> {
    poll: &'a Poll,
    texts: &'a Texts,
    chart: Option<&'a Chart>,
}

/// The result page
///
/// In HTML. Its first paint is right without a script; with one it stays right.
#[utoipa::path(get, path = "/", tag = "page", operation_id = "get_result_page", responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html"),
    (status = SERVICE_UNAVAILABLE, description = "The page, without a result: the store has not answered yet.",
        body = String, content_type = "text/html"),
))]
pub async fn show(State(app): State<App>, request: Request) -> Response {
    page(&app, request.headers(), Kind::Page)
}

/// The result alone
///
/// In HTML, for pages of the origins that may show it in a frame.
#[utoipa::path(get, path = "/embed", tag = "page", operation_id = "get_embedded_result", responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html"),
    (status = SERVICE_UNAVAILABLE, description = "The page, without a result: the store has not answered yet.",
        body = String, content_type = "text/html"),
))]
pub async fn embed(State(app): State<App>, request: Request) -> Response {
    let mut response = page(&app, request.headers(), Kind::Embedded);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, app.embed_policy.clone());
    response
}

/// The part of the page with the votes over time
///
/// In HTML, for the page's script.
#[utoipa::path(get, path = "/timeline", tag = "page", operation_id = "get_timeline_part", responses(
    (status = OK, description = "The part of the page.", body = String, content_type = "text/html"),
    api::Hidden,
    api::Unavailable,
))]
pub async fn timeline(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    api::refuse_hidden(&snapshot)?;
    let language = Language::negotiate(request.headers());
    let timeline = app.timeline.borrow().clone();
    let shown = (Kind::Timeline, Version::of(&snapshot, timeline.as_deref()));
    let part = app
        .pages
        .respond(request.headers(), language, shown, || TimelinePart {
            poll: &app.poll,
            texts: &app.texts[language],
            chart: chart_of(timeline.as_deref()),
        });
    let no_cache = [(header::CACHE_CONTROL, "no-cache")];
    Ok((no_cache, part).into_response())
}

fn page(app: &App, headers: &HeaderMap, kind: Kind) -> Response {
    let language = Language::negotiate(headers);
    let (snapshot, timeline) = (app.latest.borrow().clone(), app.timeline.borrow().clone());
    let (snapshot, timeline) = (snapshot.as_deref(), timeline.as_deref());
    let page = || ResultPage::new(app, language, kind, snapshot, timeline);
    let (status, page) = if let Some(shown) = snapshot {
        let shown = (kind, Version::of(shown, timeline));
        let page = app.pages.respond(headers, language, shown, page);
        (StatusCode::OK, page)
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            html(&page(), language, headers),
        )
    };
    let no_cache = [(header::CACHE_CONTROL, "no-cache")];
    (status, no_cache, page).into_response()
}

impl Version {
    fn of(snapshot: &Snapshot, timeline: Option<&Timeline>) -> Self {
        let document = &snapshot.document;
        Self {
            tally: snapshot.id.clone(),
            stale_since: document.stale.then_some(document.as_of),
            timeline: timeline.map(|timeline| timeline.id.clone()),
        }
    }
}

impl<'a> ResultPage<'a> {
    fn new(
        app: &'a App,
        language: Language,
        kind: Kind,
        snapshot: Option<&'a Snapshot>,
        timeline: Option<&'a Timeline>,
    ) -> Self {
        let texts = &app.texts[language];
        let tally = snapshot.map(|snapshot| &snapshot.document);
        let schedule = &app.poll.schedule;
        let phase_text = tally.and_then(|tally| {
            let (text, moment) = match tally.phase {
                Phase::NotOpenYet => (&texts.opens, schedule.opens_at()),
                Phase::Open => (&texts.closes, schedule.closes_at()),
                Phase::Closed => (&texts.closed, schedule.closes_at()),
            };
            Some(TimeText::new(text, moment?))
        });
        let embedded = kind == Kind::Embedded;
        let is_closed = tally.is_some_and(|tally| tally.phase == Phase::Closed);
        let vote_url = app.links.vote_url.as_deref().filter(|_| !is_closed);
        let no_votes = if is_closed {
            &texts.no_votes_at_all
        } else {
            &texts.no_votes
        };
        Self {
            app,
            poll: &app.poll,
            language,
            texts,
            tally,
            phase_text,
            chart: chart_of(timeline),
            is_closed,
            outcome: tally.map_or_else(String::new, |tally| outcome::text(tally, texts)),
            no_votes,
            vote_url,
            embedded,
        }
    }
}

fn chart_of(timeline: Option<&Timeline>) -> Option<&Chart> {
    timeline?.chart.as_ref()
}
