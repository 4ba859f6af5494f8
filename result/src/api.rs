//! The API: the result as JSON.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use utoipa::{
    IntoResponses,
    openapi::{RefOr, response},
};
use web::{
    NotModified, Problem, ProblemKind, RequestConditions, conditional_response, problem_responses,
};

use crate::{
    snapshot::{Snapshot, TallyDocument},
    state::{AppState, not_read_yet},
    timeline_document::TimelineDocument,
};

/// The response if no result has been read yet.
pub struct Unavailable;

impl IntoResponses for Unavailable {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::ResultUnavailable])
    }
}

/// The response if the result is still hidden.
pub struct Hidden;

impl IntoResponses for Hidden {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::ResultHidden])
    }
}

/// The response if the query is invalid.
pub struct InvalidQuery;

impl IntoResponses for InvalidQuery {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::MalformedRequest])
    }
}

/// The tally
///
/// The number of all votes and of the votes for each option; the latter are `null` while the result is hidden. The tally changes with
/// every vote: poll with `If-None-Match`, or preferably subscribe to `/events`.
#[utoipa::path(get, path = "/api/tally", tag = "result", operation_id = "get_tally",
    params(RequestConditions),
    responses(
        (status = OK, description = "The current tally.", body = TallyDocument,
            headers(("ETag" = String, description = "Id of this tally, the same on every replica.")),
            links(("again" = (operation_id = "get_tally", parameters(("If-None-Match" = "$response.header.ETag")))))),
        NotModified,
        Unavailable,
    ),
)]
pub async fn tally(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    Ok(tally_response(&snapshot, request.headers()))
}

/// Returns the tally of a poll as JSON.
pub(crate) fn tally_response(snapshot: &Snapshot, headers: &HeaderMap) -> Response {
    conditional_response(&snapshot.id, headers, "application/json", || {
        snapshot.json.clone()
    })
}

/// The votes over time
///
/// Each voter's stored vote, by the time at which it was cast. At most 48 steps; the length of a step depends on the duration of
/// the voting. Steps without votes are omitted.
#[utoipa::path(get, path = "/api/timeline", tag = "result", operation_id = "get_timeline",
    params(RequestConditions),
    responses(
        (status = OK, description = "The votes over time.", body = TimelineDocument,
            headers(("ETag" = String, description = "Id of this timeline, the same on every replica.")),
            links(("again" = (operation_id = "get_timeline", parameters(("If-None-Match" = "$response.header.ETag")))))),
        NotModified,
        Hidden,
        Unavailable,
    ),
)]
pub async fn timeline(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Problem> {
    let snapshot = app.snapshot()?;
    timeline_response(&snapshot, request.headers())
}

/// Returns the votes in a poll over time as JSON.
///
/// # Errors
/// The result is hidden, or the timeline has not been read yet.
pub(crate) fn timeline_response(
    snapshot: &Snapshot,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    ensure_visible(snapshot)?;
    let timeline = snapshot.timeline.as_ref().ok_or_else(not_read_yet)?;
    Ok(conditional_response(
        &timeline.id,
        headers,
        "application/json",
        || timeline.json.clone(),
    ))
}

/// Checks that the result is visible.
pub(crate) fn ensure_visible(snapshot: &Snapshot) -> Result<(), Problem> {
    match snapshot.document.visible_at {
        Some(visible_at) if !snapshot.document.visible => {
            let detail =
                format!("The result will be shown when voting has ended, at {visible_at}.");
            Err(Problem::new(ProblemKind::ResultHidden, detail))
        }
        _ => Ok(()),
    }
}
