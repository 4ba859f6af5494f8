//! The API of all polls: the list, and the result of each.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use poll::PollId;
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{RefOr, response},
};
use web::{NotModified, Problem, ProblemKind, RequestConditions, problem_responses};

use super::{ArchivedPoll, unknown_poll};
use crate::{
    api::{Hidden, InvalidQuery, Unavailable, tally_response, timeline_response},
    snapshot::{Snapshot, TallyDocument},
    state::AppState,
    tally_csv::{Bom, tally_csv_response},
    timeline_document::TimelineDocument,
};

/// The response if there is no poll with this id.
pub struct UnknownPoll;

impl IntoResponses for UnknownPoll {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::NotFound])
    }
}

/// All polls, the newest first.
#[derive(Serialize, ToSchema)]
struct PollListDocument {
    /// The polls.
    polls: Vec<PollSummaryDocument>,
}

/// One poll of the list.
#[derive(Serialize, ToSchema)]
struct PollSummaryDocument {
    /// Id of the poll.
    id: PollId,
    /// Question to the voters.
    question: String,
    /// Number of votes.
    votes: u64,
    /// True if this is the poll that is asked now.
    current: bool,
}

/// The polls
///
/// All polls whose votes are stored, the newest first.
#[utoipa::path(get, path = "/api/polls", tag = "polls", operation_id = "list_polls", responses(
    (status = OK, description = "The polls.", body = PollListDocument),
    Unavailable,
))]
pub async fn polls(State(app): State<Arc<AppState>>) -> Result<Response, Problem> {
    let recorded = app.archive.list().await?;
    let summary = |recorded: &store::RecordedPoll| PollSummaryDocument {
        id: recorded.poll.id.clone(),
        question: recorded.poll.question.clone(),
        votes: recorded.votes,
        current: recorded.poll.id == app.poll.id,
    };
    let document = PollListDocument {
        polls: recorded.iter().map(summary).collect(),
    };
    Ok(([(header::CACHE_CONTROL, "no-cache")], Json(document)).into_response())
}

/// The tally of a poll
///
/// As `/api/tally`, for any poll.
#[utoipa::path(get, path = "/api/polls/{poll}/tally", tag = "polls", operation_id = "get_poll_tally",
    params(("poll" = String, Path, description = "Id of the poll."), RequestConditions),
    responses(
        (status = OK, description = "The tally.", body = TallyDocument,
            headers(("ETag" = String, description = "Id of this tally, the same on every replica."))),
        NotModified,
        UnknownPoll,
        Unavailable,
    ),
)]
pub async fn tally(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let found = find(&app, &id).await?;
    Ok(tally_response(found.snapshot(), request.headers()))
}

/// The tally of a poll as a table
///
/// As `/api/tally.csv`, for any poll.
#[utoipa::path(get, path = "/api/polls/{poll}/tally.csv", tag = "polls", operation_id = "get_poll_tally_csv",
    params(("poll" = String, Path, description = "Id of the poll."), RequestConditions,
        ("bom" = inline(Option<Bom>), Query, nullable = false,
        description = "1: the table starts with a byte order mark, so that spreadsheets detect UTF-8. 0 or not given: it does not.")),
    responses(
        (status = OK, description = "The tally.", body = String, content_type = "text/csv",
            headers(("ETag" = String, description = "Id of this tally, the same on every replica."))),
        NotModified,
        InvalidQuery,
        Hidden,
        UnknownPoll,
        Unavailable,
    ),
)]
pub async fn tally_csv(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let found = find(&app, &id).await?;
    tally_csv_response(found.snapshot(), &request)
}

/// The votes in a poll over time
///
/// As `/api/timeline`, for any poll.
#[utoipa::path(get, path = "/api/polls/{poll}/timeline", tag = "polls", operation_id = "get_poll_timeline",
    params(("poll" = String, Path, description = "Id of the poll."), RequestConditions),
    responses(
        (status = OK, description = "The votes over time.", body = TimelineDocument,
            headers(("ETag" = String, description = "Id of this timeline, the same on every replica."))),
        NotModified,
        Hidden,
        UnknownPoll,
        Unavailable,
    ),
)]
pub async fn timeline(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let found = find(&app, &id).await?;
    timeline_response(found.snapshot(), request.headers())
}

/// A poll with its result.
pub(super) enum FoundPoll {
    /// The current poll: its live snapshot.
    Current(Arc<Snapshot>),
    /// Another poll.
    Archived(Arc<ArchivedPoll>),
}

impl FoundPoll {
    fn snapshot(&self) -> &Snapshot {
        match self {
            Self::Current(snapshot) => snapshot,
            Self::Archived(archived) => &archived.snapshot,
        }
    }
}

/// Returns the poll with this id.
///
/// # Errors
/// There is no such poll, or it cannot be read.
pub(super) async fn find(app: &AppState, id: &str) -> Result<FoundPoll, Problem> {
    let id: PollId = id.parse().map_err(|_| unknown_poll(id))?;
    if id == app.poll.id {
        return Ok(FoundPoll::Current(app.snapshot()?));
    }
    Ok(FoundPoll::Archived(app.archive.find(&id).await?))
}
