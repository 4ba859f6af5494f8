//! The pages of all polls: the list, and the result of each.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use poll::{Phase, PollId};
use store::RecordedPoll;
use web::{Problem, TimeText, html, language::Language};

use super::api::{FoundPoll, UnknownPoll, find};
use crate::{
    api::Unavailable,
    chart::{self, Chart},
    outcome::outcome_text,
    snapshot::TallyDocument,
    state::AppState,
    texts::Texts,
};

#[derive(Template)]
#[template(path = "polls.html")]
struct PollListPage<'a> {
    app: &'a AppState,
    language: Language,
    texts: &'a Texts,
    polls: &'a [RecordedPoll],
}

#[derive(Template)]
#[template(path = "poll.html")]
struct PollPage<'a> {
    app: &'a AppState,
    poll: &'a poll::Poll,
    language: Language,
    texts: &'a Texts,
    tally: &'a TallyDocument,
    chart: Option<&'a Chart>,
    outcome: String,
    no_votes: &'a str,
}

/// The list of polls
///
/// HTML.
#[utoipa::path(get, path = "/polls", tag = "page", operation_id = "get_polls_page", responses(
    (status = OK, description = "The page.", body = String, content_type = "text/html"),
    Unavailable,
))]
pub async fn list(State(app): State<Arc<AppState>>, request: Request) -> Result<Response, Problem> {
    let language = Language::negotiate(request.headers());
    let polls = app.archive.list().await?;
    let page = PollListPage {
        app: &app,
        language,
        texts: &app.texts[language],
        polls: &polls,
    };
    let page = html(&page, language, request.headers());
    Ok(([(header::CACHE_CONTROL, "no-cache")], page).into_response())
}

/// The result of a poll
///
/// HTML. It shows the result at the time of the request; the page of the current poll at `/` is live.
#[utoipa::path(get, path = "/polls/{poll}", tag = "page", operation_id = "get_poll_page",
    params(("poll" = String, Path, description = "Id of the poll.")),
    responses(
        (status = OK, description = "The page.", body = String, content_type = "text/html"),
        UnknownPoll,
        Unavailable,
    ),
)]
pub async fn show(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let found = find(&app, &id).await?;
    let (poll, snapshot) = match &found {
        FoundPoll::Current(snapshot) => (&*app.poll, &**snapshot),
        FoundPoll::Archived(archived) => (&archived.poll, &archived.snapshot),
    };
    let language = Language::negotiate(request.headers());
    let texts = &app.texts[language];
    let tally = &snapshot.document;
    let page = PollPage {
        app: &app,
        poll,
        language,
        texts,
        tally,
        chart: snapshot.chart().filter(|_| tally.visible),
        outcome: outcome_text(tally, texts),
        no_votes: if tally.phase == Phase::Closed {
            &texts.no_votes_final
        } else {
            &texts.no_votes
        },
    };
    let page = html(&page, language, request.headers());
    Ok(([(header::CACHE_CONTROL, "no-cache")], page).into_response())
}

impl PollListPage<'_> {
    fn is_current(&self, id: &PollId) -> bool {
        *id == self.app.poll.id
    }
}
