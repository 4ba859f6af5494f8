//! The voting page. It works without a script.

use askama::Template;
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use jiff::Timestamp;
use shared::poll::{Phase, Poll};

use crate::{form, identity::Identity, routes::App};

const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Template)]
#[template(path = "vote.html")]
struct VotePage<'a> {
    poll: &'a Poll,
    phase: Phase,
    opens_at: String,
    closes_at: String,
    /// The key of the option this voter last voted for, or nothing.
    chosen: &'a str,
    notice: Option<Notice<'a>>,
    styles: Vec<&'a str>,
    instance: &'a str,
}

/// What became of the vote just sent.
enum Notice<'a> {
    Accepted(&'a str),
    Refused(String),
}

/// `GET /`
pub async fn show(State(app): State<App>, headers: HeaderMap) -> Response {
    let identity = Identity::of(&headers, &app.keys);
    respond(&app, StatusCode::OK, &identity, None)
}

/// `POST /` with the form field `vote`.
pub async fn submit(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let identity = Identity::of(&headers, &app.keys);
    match app.cast(&identity, &headers, body, FORM, form::vote).await {
        Ok(receipt) => {
            let label = app
                .poll
                .options
                .iter()
                .find(|option| option.key == receipt.choice)
                .map(|option| &*option.label);
            let identity = identity.having_chosen(&receipt.choice);
            respond(&app, StatusCode::OK, &identity, label.map(Notice::Accepted))
        }
        Err(refusal) => {
            let mut response = respond(
                &app,
                refusal.status(),
                &identity,
                Some(Notice::Refused(refusal.to_string())),
            );
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
    status: StatusCode,
    identity: &Identity,
    notice: Option<Notice<'_>>,
) -> Response {
    let schedule = &app.poll.schedule;
    let time =
        |moment: Option<Timestamp>| moment.map_or_else(String::new, |moment| moment.to_string());
    let page = VotePage {
        poll: &app.poll,
        phase: schedule.phase(Timestamp::now()),
        opens_at: time(schedule.opens_at()),
        closes_at: time(schedule.closes_at()),
        chosen: &identity.chosen,
        notice,
        styles: app.styles.iter().map(|style| &*style.path).collect(),
        instance: &app.instance,
    };
    match page.render() {
        Ok(html) => (
            status,
            identity.cookie(&app.keys),
            [(header::CACHE_CONTROL, "no-store")],
            Html(html),
        )
            .into_response(),
        Err(error) => {
            tracing::error!(%error, "the page cannot be rendered");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The page cannot be shown; please try again.",
            )
                .into_response()
        }
    }
}
