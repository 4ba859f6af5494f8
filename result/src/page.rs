//! The result page. It is complete without a script; a script keeps it up to date.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use poll::{Phase, Poll};
use web::{Problem, TimeText, html, language::Language};

use crate::{
    api,
    chart::{self, Chart},
    outcome::outcome_text,
    snapshot::{Snapshot, TallyDocument},
    state::AppState,
    texts::Texts,
};

/// A page that is rendered once per language and snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageKey {
    /// The result page.
    Page,
    /// The result page for frames of other sites.
    Embedded,
    /// The section with the timeline.
    Timeline,
}

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage<'a> {
    app: &'a AppState,
    poll: &'a Poll,
    language: Language,
    texts: &'a Texts,
    /// `None` until the tally has been read once.
    tally: Option<&'a TallyDocument>,
    /// The time at which the poll opens, closes or closed.
    phase_text: Option<TimeText<'a>>,
    chart: Option<&'a Chart>,
    /// True if voting has ended.
    is_closed: bool,
    /// The winner; empty until it is known.
    outcome: String,
    /// The text for a tally without votes.
    no_votes: &'a str,
    /// The URL of the voting page; `None` if voting has ended.
    vote_url: Option<&'a str>,
    /// True if the page is for a frame of another site.
    embedded: bool,
}

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelineSection<'a> {
    poll: &'a Poll,
    texts: &'a Texts,
    chart: Option<&'a Chart>,
}

/// The result page
///
/// HTML. It is complete without a script; a script keeps it up to date.
#[utoipa::path(get, path = "/", tag = "page", operation_id = "get_result_page", responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html"),
    (status = SERVICE_UNAVAILABLE, description = "The page without a result, which has not been read from the store yet.",
        body = String, content_type = "text/html"),
))]
pub async fn show(State(app): State<Arc<AppState>>, request: Request) -> Response {
    page(&app, request.headers(), PageKey::Page)
}

/// The result without the rest of the page
///
/// HTML, for frames on sites whose origins are allowed.
#[utoipa::path(get, path = "/embed", tag = "page", operation_id = "get_embedded_result", responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html"),
    (status = SERVICE_UNAVAILABLE, description = "The page without a result, which has not been read from the store yet.",
        body = String, content_type = "text/html"),
))]
pub async fn embed(State(app): State<Arc<AppState>>, request: Request) -> Response {
    let mut response = page(&app, request.headers(), PageKey::Embedded);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, app.embed_policy.clone());
    response
}

/// The section of the page with the votes over time
///
/// HTML, for the page's script.
#[utoipa::path(get, path = "/timeline", tag = "page", operation_id = "get_timeline_part", responses(
    (status = OK, description = "The section of the page.", body = String, content_type = "text/html"),
    api::Hidden,
    api::Unavailable,
))]
pub async fn timeline(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    api::ensure_visible(&snapshot)?;
    let language = Language::negotiate(request.headers());
    let section = || TimelineSection {
        poll: &app.poll,
        texts: &app.texts[language],
        chart: snapshot.chart(),
    };
    let section = snapshot
        .pages
        .respond(request.headers(), language, PageKey::Timeline, section);
    let no_cache = [(header::CACHE_CONTROL, "no-cache")];
    Ok((no_cache, section).into_response())
}

fn page(app: &AppState, headers: &HeaderMap, key: PageKey) -> Response {
    let language = Language::negotiate(headers);
    let snapshot = app.snapshot.borrow().clone();
    let page = || ResultPage::new(app, language, key, snapshot.as_deref());
    let (status, page) = if let Some(snapshot) = &snapshot {
        let page = snapshot.pages.respond(headers, language, key, page);
        (StatusCode::OK, page)
    } else {
        let page = html(&page(), language, headers);
        (StatusCode::SERVICE_UNAVAILABLE, page)
    };
    let no_cache = [(header::CACHE_CONTROL, "no-cache")];
    (status, no_cache, page).into_response()
}

impl<'a> ResultPage<'a> {
    fn new(
        app: &'a AppState,
        language: Language,
        key: PageKey,
        snapshot: Option<&'a Snapshot>,
    ) -> Self {
        let texts = &app.texts[language];
        let tally = snapshot.map(|snapshot| &snapshot.document);
        let is_closed = tally.is_some_and(|tally| tally.phase == Phase::Closed);
        let vote_url = app.public_urls.vote_url.as_deref();
        let no_votes = if is_closed {
            &texts.no_votes_final
        } else {
            &texts.no_votes
        };
        Self {
            app,
            poll: &app.poll,
            language,
            texts,
            tally,
            phase_text: tally.and_then(|tally| phase_text(tally.phase, &app.poll, texts)),
            chart: snapshot.and_then(Snapshot::chart),
            is_closed,
            outcome: tally.map_or_else(String::new, |tally| outcome_text(tally, texts)),
            no_votes,
            vote_url: vote_url.filter(|_| !is_closed),
            embedded: key == PageKey::Embedded,
        }
    }
}

/// The time at which the poll opens, closes or closed, if it has one.
fn phase_text<'a>(phase: Phase, poll: &Poll, texts: &'a Texts) -> Option<TimeText<'a>> {
    let (text, time) = match phase {
        Phase::NotOpenYet => (&texts.opens, poll.schedule.opens_at()),
        Phase::Open => (&texts.closes, poll.schedule.closes_at()),
        Phase::Closed => (&texts.closed, poll.schedule.closes_at()),
    };
    Some(TimeText::new(text, time?))
}
