//! The same vote for programs.

use std::borrow::Cow;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::{
    ballot::Choice,
    http::Problem,
    poll::{Phase, ResultsMode},
};

use crate::{identity::Identity, intake::Receipt, refusal::Refusal, routes::App};

/// The poll, as `GET /api/poll` tells it.
#[derive(Serialize)]
struct PollDocument {
    question: String,
    options: Vec<OptionDocument>,
    phase: Phase,
    opens_at: Option<Timestamp>,
    closes_at: Option<Timestamp>,
    results: ResultsMode,
}

#[derive(Serialize)]
struct OptionDocument {
    key: Choice,
    label: String,
}

/// A vote, as `POST /api/votes` takes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VoteDocument {
    choice: String,
}

/// What an accepted vote is answered with.
#[derive(Serialize)]
struct ReceiptDocument {
    ballot: String,
    choice: Choice,
}

/// `GET /api/poll`
pub async fn poll(State(app): State<App>) -> Response {
    let schedule = &app.poll.schedule;
    let option = |option: &shared::poll::PollOption| OptionDocument {
        key: option.key.clone(),
        label: option.label.clone(),
    };
    let document = PollDocument {
        question: app.poll.question.clone(),
        options: app.poll.options.iter().map(option).collect(),
        phase: schedule.phase(Timestamp::now()),
        opens_at: schedule.opens_at(),
        closes_at: schedule.closes_at(),
        results: schedule.results(),
    };
    ([(header::CACHE_CONTROL, "no-cache")], Json(document)).into_response()
}

/// `POST /api/votes` with `{"choice": "a"}`.
pub async fn submit(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let identity = Identity::of(&headers, &app.keys);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match app
        .cast(&identity, &headers, body, "application/json", choice_in)
        .await
    {
        Ok(Receipt { ballot, choice }) => {
            let cookie = identity.having_chosen(&choice).cookie(&app.keys);
            let document = ReceiptDocument {
                ballot: ballot.to_string(),
                choice,
            };
            (StatusCode::ACCEPTED, no_store, cookie, Json(document)).into_response()
        }
        Err(refusal) => (no_store, Problem::from(refusal)).into_response(),
    }
}

fn choice_in(body: &[u8]) -> Result<Cow<'_, str>, Refusal> {
    let unreadable = |error| {
        Refusal::Malformed(format!(
            "{error}; send {{\"choice\": KEY}} with the key of an option"
        ))
    };
    serde_json::from_slice::<VoteDocument>(body)
        .map(|vote| vote.choice.into())
        .map_err(unreadable)
}
