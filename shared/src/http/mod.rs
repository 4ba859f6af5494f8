//! What every service does over HTTP.

mod assets;
mod measured;
mod probes;
mod problem;
mod server;

pub use assets::{Asset, asset_routes, base_style};
pub use measured::HttpMetrics;
pub use probes::{Probes, probe_routes};
pub use problem::Problem;
pub use server::serve;

use std::{any::Any, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

/// How long an answer may take to begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts around a service's routes what they all need: measuring, a time limit, and an answer even after a crash.
pub fn with_layers(routes: Router, metrics: HttpMetrics) -> Router {
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::from_fn_with_state(
            metrics,
            measured::measure,
        ))
        .layer(CatchPanicLayer::custom(crashed))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            REQUEST_TIMEOUT,
        ));
    routes.layer(layers)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature is the layer's"
)]
fn crashed(cause: Box<dyn Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied());
    tracing::error!(
        cause = text.unwrap_or("unknown"),
        "a request handler crashed"
    );
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal-error",
        "Something went wrong here; try again",
    )
    .into_response()
}
