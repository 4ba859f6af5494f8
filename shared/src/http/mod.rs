//! What every service does over HTTP.

mod assets;
mod headers;
mod html;
mod measured;
mod probes;
mod problem;
mod server;

pub use assets::{Asset, SharedAssets, asset_routes};
pub use headers::content_security_policy;
pub use html::{TimeText, html};
pub use measured::HttpMetrics;
pub use probes::{Probes, probe_routes};
pub use problem::Problem;
pub use server::serve;

use std::{any::Any, time::Duration};

use axum::{
    Router,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, timeout::TimeoutLayer,
};

/// How long an answer may take to begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Puts around a service's routes what they all need: measuring, a time limit, an answer in words even after a crash or
/// for what is not there, compression, and headers that keep browsers safe.
pub fn with_layers(routes: Router, metrics: HttpMetrics, behind_https: bool) -> Router {
    let routes = routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::from_fn_with_state(
            metrics,
            measured::measure,
        ))
        .layer(CatchPanicLayer::custom(crashed))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            REQUEST_TIMEOUT,
        ))
        // Events are left alone: a viewer gets each at once.
        .layer(CompressionLayer::new());
    headers::with_security_headers(routes.layer(layers), behind_https)
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        format!("there is nothing at {}", uri.path()),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{method} is not allowed at {}; the header Allow says what is",
        uri.path()
    );
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
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
