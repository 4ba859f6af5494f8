//! The same vote for programs.

use std::borrow::Cow;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use poll::{Phase, ResultsMode, ballot::Choice};
use serde::Serialize;
use utoipa::ToSchema;
use web::Problem;

use crate::{
    csrf::Token,
    described::Refused,
    identity::Identity,
    line::Receipt,
    refusal::Refusal,
    routes::App,
    sent::Sent,
    vote_document::{self, VoteDocument},
};

const JSON: &str = "application/json";

/// The poll, as `GET /api/poll` tells it.
#[derive(Serialize, ToSchema)]
struct PollDocument {
    /// What the voters are asked.
    question: String,
    /// What they may answer, in the order in which it is shown.
    #[schema(min_items = 2, max_items = 20)]
    options: Vec<OptionDocument>,
    /// Whether votes are taken.
    phase: Phase,
    /// When voting begins; null: it always has.
    #[schema(required)]
    opens_at: Option<Timestamp>,
    /// When voting ends; null: never.
    #[schema(required)]
    closes_at: Option<Timestamp>,
    /// When the result may be seen.
    results: ResultsMode,
}

/// One answer to the question.
#[derive(Serialize, ToSchema)]
#[schema(as = PollOption)]
struct OptionDocument {
    /// What is sent to choose it.
    key: Choice,
    /// What voters read.
    label: String,
}

/// What an accepted vote is answered with.
#[derive(Serialize, ToSchema)]
struct ReceiptDocument {
    /// Its place in the queue: of two ballots by one voter the greater is the newer, compared as two numbers.
    #[schema(pattern = "^[0-9]+-[0-9]+$")]
    ballot: String,
    /// What was chosen.
    choice: Choice,
}

/// The poll
///
/// What is asked, what may be answered, and whether votes are taken.
#[utoipa::path(get, path = "/api/poll", tag = "vote", operation_id = "get_poll",
    responses((status = OK, description = "The poll.", body = PollDocument)),
)]
pub async fn poll(State(app): State<App>) -> Response {
    let schedule = &app.poll().schedule;
    let option = |option: &poll::PollOption| OptionDocument {
        key: option.key.clone(),
        label: option.label.clone(),
    };
    let document = PollDocument {
        question: app.poll().question.clone(),
        options: app.poll().options.iter().map(option).collect(),
        phase: schedule.phase(schedule.now()),
        opens_at: schedule.opens_at(),
        closes_at: schedule.closes_at(),
        results: schedule.results(),
    };
    ([(header::CACHE_CONTROL, "no-cache")], Json(document)).into_response()
}

/// Vote
///
/// The cookie of an earlier answer makes this that voter's vote, which replaces the one before; without it, it is a new
/// voter's. A script of another site cannot vote: what `Sec-Fetch-Site` or
/// `Origin` say is refused unless it is this site.
#[utoipa::path(post, path = "/api/votes", tag = "vote", operation_id = "vote", security((), ("voter" = [])),
    request_body(content = VoteDocument, description = "The choice, in at most 4096 bytes."),
    responses(
        (status = ACCEPTED, description = "The queue has the vote on its disk.", body = ReceiptDocument,
            headers(("Set-Cookie" = String, description = "Who voted; send it with the next vote."))),
        Refused,
    ),
)]
pub async fn submit(State(app): State<App>, sent: Sent) -> Response {
    let context = app.context(app.poll().schedule.now());
    let identity = Identity::of(&sent.headers, &app.keys, context);
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    let cookies = |identity: &Identity| identity.set_cookies(&app.keys, context, &sent.headers);
    let key = read(&sent);
    let key = key.as_deref().map_err(Clone::clone);
    match app.cast(&identity, &sent, Token::None, key).await {
        Ok(Receipt { ballot, choice }) => {
            let cookies = cookies(&identity.with_choice(&choice));
            let document = ReceiptDocument {
                ballot: ballot.to_string(),
                choice,
            };
            (StatusCode::ACCEPTED, no_store, cookies, Json(document)).into_response()
        }
        Err(refusal) if refusal.is_uncertain() => {
            (no_store, cookies(&identity), Problem::from(refusal)).into_response()
        }
        Err(refusal) => (no_store, Problem::from(refusal)).into_response(),
    }
}

fn read(sent: &Sent) -> Result<Cow<'_, str>, Refusal> {
    let body = sent.body()?;
    if !sent.is_of_type(JSON) {
        return Err(Refusal::ContentType(JSON));
    }
    vote_document::choice(body)
}
