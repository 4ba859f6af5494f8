//! Handlers of the JSON API.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use poll::{Phase, PollId, ResultsMode, ballot::Choice};
use serde::Serialize;
use utoipa::ToSchema;
use web::{Problem, csrf::FormToken};

use crate::{
    enqueue::Receipt, identity::Identity, openapi::VoteErrors, state::AppState,
    vote_document::VoteDocument, vote_error::VoteError, vote_request::VoteRequest,
    vote_service::RequestOrigin,
};

const JSON: &str = "application/json";

/// The poll, as `GET /api/poll` returns it.
#[derive(Serialize, ToSchema)]
struct PollDocument {
    /// Id of the poll. A vote that names another poll is rejected.
    id: PollId,
    /// Question to the voters.
    question: String,
    /// Options, in the order in which they are shown.
    #[schema(min_items = 2, max_items = 20)]
    options: Vec<OptionDocument>,
    /// Phase of the poll: votes are accepted while it is open.
    phase: Phase,
    /// Time at which voting begins; null: voting is open from the beginning.
    #[schema(required)]
    opens_at: Option<Timestamp>,
    /// Time at which voting ends; null: voting never ends.
    #[schema(required)]
    closes_at: Option<Timestamp>,
    /// Time from which the result is visible.
    results: ResultsMode,
}

/// One option of the poll.
#[derive(Serialize, ToSchema)]
#[schema(as = PollOption)]
struct OptionDocument {
    /// Key that a vote for this option contains.
    key: Choice,
    /// Text that voters read.
    label: String,
}

/// Response to an accepted vote.
#[derive(Serialize, ToSchema)]
struct ReceiptDocument {
    /// Id of the poll.
    poll: PollId,
    /// Id of the ballot's entry in the queue. Of two ballots by one voter the greater id is newer; ids are compared as two numbers.
    #[schema(pattern = "^[0-9]+-[0-9]+$")]
    ballot: String,
    /// Choice of the voter.
    choice: Choice,
}

/// The poll
///
/// The question, the options, and the phase of the poll.
#[utoipa::path(get, path = "/api/poll", tag = "vote", operation_id = "get_poll",
    responses((status = OK, description = "The poll.", body = PollDocument)),
)]
pub async fn poll(State(state): State<Arc<AppState>>) -> Response {
    let schedule = &state.poll.schedule;
    let option = |option: &poll::PollOption| OptionDocument {
        key: option.key.clone(),
        label: option.label.clone(),
    };
    let document = PollDocument {
        id: state.poll.id.clone(),
        question: state.poll.question.clone(),
        options: state.poll.options.iter().map(option).collect(),
        phase: schedule.phase(schedule.now()),
        opens_at: schedule.opens_at(),
        closes_at: schedule.closes_at(),
        results: schedule.results(),
    };
    ([(header::CACHE_CONTROL, "no-cache")], Json(document)).into_response()
}

/// Vote
///
/// With the cookie of an earlier response the vote replaces that voter's earlier vote; without it, a new voter casts it. A
/// script of another site cannot vote: if `Sec-Fetch-Site` or `Origin` names another site, the vote is rejected.
#[utoipa::path(post, path = "/api/votes", tag = "vote", operation_id = "vote", security((), ("voter" = [])),
    request_body(content = VoteDocument, description = "The choice, in at most 4096 bytes."),
    responses(
        (status = ACCEPTED, description = "The queue has stored the vote on its disk.", body = ReceiptDocument,
            headers(("Set-Cookie" = String, description = "The voter's identity; send it with the next vote."))),
        VoteErrors,
    ),
)]
pub async fn submit(State(state): State<Arc<AppState>>, request: VoteRequest) -> Response {
    let context = state.cookie_context(state.poll.schedule.now());
    let keys = &state.cookie_keys;
    let identity = Identity::from_cookies(&request.headers, keys, context);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    let cookies = |identity: &Identity| identity.set_cookies(keys, context, &request.headers);
    let document = parse(&request);
    let vote = document.as_ref().map(VoteDocument::vote);
    let vote = vote.map_err(Clone::clone);
    let origin = RequestOrigin {
        voter: identity.voter,
        address: request.address,
        headers: &request.headers,
        token: FormToken::None,
    };
    match state.votes.cast(origin, vote, request.traceparent()).await {
        Ok(Receipt { ballot, choice }) => {
            let cookies = cookies(&identity.with_choice(&choice));
            let document = ReceiptDocument {
                poll: state.poll.id.clone(),
                ballot: ballot.to_string(),
                choice,
            };
            (StatusCode::ACCEPTED, no_store, cookies, Json(document)).into_response()
        }
        Err(error) if error.is_ambiguous() => {
            (no_store, cookies(&identity), Problem::from(error)).into_response()
        }
        Err(error) => (no_store, Problem::from(error)).into_response(),
    }
}

fn parse(request: &VoteRequest) -> Result<VoteDocument, VoteError> {
    let body = request.body()?;
    if !request.has_content_type(JSON) {
        return Err(VoteError::ContentType(JSON));
    }
    VoteDocument::parse(body)
}
