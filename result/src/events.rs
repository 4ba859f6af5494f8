//! Server-sent events: the tally after each change.
//!
//! Each event contains the whole tally and an id that is the same on every replica. A browser that reconnects to any replica
//! therefore needs only the current tally, and nothing if it has that already.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{
    IntoResponses,
    openapi::{RefOr, response},
};
use web::{AddressPermit, ClientAddress, OverLimit, Problem, ProblemKind, problem_responses};

use crate::{openapi::Event, sse_connection::SseConnection, state::AppState};

/// Seconds after which a rejected client may retry.
const RETRY_AFTER: u32 = 5;

/// The response if no permit is left for another viewer.
struct TooManyViewers;

impl IntoResponses for TooManyViewers {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problem_responses(&[ProblemKind::TooManyViewers])
    }
}

/// The tally after each change, as server-sent events
///
/// An event `tally` contains the tally and its id. An event `heartbeat` follows after 3 seconds without another event and contains the
/// time at which the tally was read from the store. The first event is sent immediately. The schema describes each event; `data` is
/// one line of JSON. The response does not end until the service shuts down. A client that reconnects with `Last-Event-ID` receives
/// only newer tallies.
#[utoipa::path(get, path = "/events", tag = "result", operation_id = "watch_tally",
    params(("Last-Event-ID" = Option<String>, Header, nullable = false, description = "Id of the tally that the client has.")),
    responses(
        (status = OK, description = "An endless stream of events.", body = Event, content_type = "text/event-stream"),
        TooManyViewers,
    ),
)]
pub async fn stream(
    State(app): State<Arc<AppState>>,
    request: Request,
) -> Result<Response, Problem> {
    let permits = acquire_permits(&app, &request)?;
    let last_id = request
        .headers()
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    let connection = SseConnection::new(
        app.snapshot.clone(),
        app.shutting_down.clone(),
        app.metrics.clone(),
        last_id.into(),
        permits,
    );
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Disables the response buffering of nginx.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(connection.events())).into_response())
}

/// Acquires a permit of the client's address and one of all viewers.
fn acquire_permits(
    app: &AppState,
    request: &Request,
) -> Result<(OwnedSemaphorePermit, AddressPermit), Problem> {
    let reject = |detail: String| {
        app.metrics.result_sse_connections_rejected_total.inc();
        Problem::new(ProblemKind::TooManyViewers, detail).retry_after(RETRY_AFTER)
    };
    let address_permit = app
        .viewers_per_address
        .try_acquire(ClientAddress::of(request));
    let address_permit = address_permit.map_err(|OverLimit(limit)| {
        reject(format!("Your network already has {limit} viewers of the live result, which is the limit. Please read /api/tally instead."))
    })?;
    let permit = app.sse_permits.clone().try_acquire_owned().map_err(|_| {
        if let Some(count) = app.rejection_log.count_event() {
            tracing::warn!(viewers.rejected = count, "viewers rejected: MAX_VIEWERS reached");
        }
        reject("Too many viewers watch the live result. Please try again in a moment, or read /api/tally.".into())
    })?;
    Ok((permit, address_permit))
}
