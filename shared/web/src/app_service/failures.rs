//! Responses to requests whose handler fails: it panics, or does not respond in time.

use std::{any::Any, time::Duration};

use axum::{
    body::Body,
    http,
    response::{IntoResponse, Response},
};
use tower_http::catch_panic::ResponseForPanic;

use crate::{Problem, ProblemKind};

/// Responds with a problem for a handler that panicked. Other requests are not affected.
#[derive(Clone, Copy)]
pub(super) struct PanicResponse;

impl ResponseForPanic for PanicResponse {
    type ResponseBody = Body;

    fn response_for_panic(&mut self, cause: Box<dyn Any + Send>) -> http::Response<Body> {
        let text = cause
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| cause.downcast_ref::<&str>().copied());
        tracing::error!(
            cause = text.unwrap_or("unknown"),
            "request handler panicked"
        );
        Problem::new(
            ProblemKind::InternalError,
            "Something went wrong in the service. Please try again.",
        )
        .into_response()
    }
}

/// Returns the response for a handler that did not respond within the limit.
pub(super) fn timed_out(limit: Duration) -> Response {
    let seconds = limit.as_secs();
    let detail = format!("There was no response within {seconds} seconds. Please try again.");
    Problem::new(ProblemKind::TimedOut, detail)
        .retry_after(1)
        .into_response()
}
