//! What every service does over HTTP.

mod assets;
mod cached;
mod client_address;
mod connection;
mod cors;
mod headers;
mod html;
mod measured;
mod openapi;
mod pages;
mod probes;
mod problem;
mod problem_page;
mod room;
mod server;
mod socket;
mod traced;

pub use assets::{Asset, SharedAssets, asset_routes};
pub use cached::{Known, NotModified, unless_known};
pub use client_address::{InvalidProxies, TrustedProxies};
pub use cors::{AllowedOrigins, InvalidOrigin};
pub use headers::content_security_policy;
pub use html::{TimeText, html};
pub use measured::HttpMetrics;
pub use openapi::{Api, documented_routes, page_responses, problem_responses, undocumented_routes};
pub use pages::Pages;
pub use probes::{Probes, probe_routes};
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use server::{ConnectionSettings, serve};

use std::{any::Any, error::Error, iter::successors, time::Duration};

use axum::{
    Router,
    http::{Method, Uri},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tokio::time::timeout;
use tower::{ServiceBuilder, util::MapFutureLayer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    timeout::{RequestBodyDeadlineLayer, TimeoutError},
};

/// How long an answer may take to begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request's body may take to come: shorter, so that the client hears that it was too slow.
const BODY_TIMEOUT: Duration = Duration::from_secs(4);

/// Whether the path is that of a probe, which is nobody's request.
fn is_probe(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/metrics")
}

/// Puts around a service's routes what they all need: measuring, a time limit, an answer in words even after a crash or
/// for what is not there, as a page for people, compression, and headers that keep browsers safe.
pub fn with_layers(routes: Router, metrics: HttpMetrics, behind_https: bool) -> Router {
    let routes = routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(metrics, measured::measure))
        .layer(from_fn(problem_page::for_people))
        .layer(CatchPanicLayer::custom(crashed))
        .layer(MapFutureLayer::new(in_time))
        .layer(RequestBodyDeadlineLayer::new(BODY_TIMEOUT))
        // Events are left alone: a viewer gets each at once.
        .layer(CompressionLayer::new());
    headers::with_security_headers(routes.layer(layers), behind_https)
}

/// The answer, if it begins in time.
async fn in_time<R: IntoResponse, E>(
    answer: impl Future<Output = Result<R, E>>,
) -> Result<Response, E> {
    if let Ok(answer) = timeout(REQUEST_TIMEOUT, answer).await {
        return answer.map(IntoResponse::into_response);
    }
    let detail = format!("no answer within {REQUEST_TIMEOUT:?}; try again");
    let problem = Problem::new(ProblemKind::TimedOut, detail).retry_after(1);
    Ok(problem.into_response())
}

/// Whether a body could not be read because it did not come in time.
#[must_use]
pub fn came_too_slowly(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |error| (*error).source()).any(<dyn Error>::is::<TimeoutError>)
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}", uri.path());
    Problem::new(ProblemKind::NotFound, detail)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "{method} is not allowed at {}; the header Allow says what is",
        uri.path()
    );
    Problem::new(ProblemKind::MethodNotAllowed, detail)
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
        ProblemKind::InternalError,
        "Something went wrong here; try again",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, extract::Request, routing::get_service};
    use std::{convert::Infallible, future::pending};
    use tower::ServiceExt;

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_takes_too_long_is_a_problem() {
        let never = tower::service_fn(|_: Request| pending::<Result<Response, Infallible>>());
        let routes = Router::new().fallback_service(get_service(never));
        let answer = routes
            .layer(MapFutureLayer::new(in_time))
            .oneshot(Request::new(Body::empty()))
            .await
            .unwrap();
        assert_eq!(answer.status(), ProblemKind::TimedOut.status());
        assert_eq!(answer.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(answer.headers()["retry-after"], "1");
    }
}
