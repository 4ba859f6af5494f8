//! The HTTP service around the routes: metrics, checks, a timeout, a panic handler, problems as pages for browsers, and security
//! headers.
//!
//! It is one function around the router and not a layer of each route: a layer is cloned, and allocates, for every request.
//! It uses future combinators: an `async fn` would reserve space for the wrapped future twice.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{Method, Uri},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::time::timeout;
use tower::Service;

use crate::{
    BasePath, HttpMetrics, Problem, ProblemKind, Site,
    metrics::{RequestMetrics, RouteLabels},
    request::{host::HostCheck, options_method},
    response::{problem_page::ClientKind, security_headers::SecurityHeaders},
    server::{Rejection, framing},
};

/// Timeout of a request until its response begins.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A service's routes with the handling that all requests need. Cloning is cheap.
#[derive(Clone)]
pub struct AppService(Arc<Inner>);

struct Inner {
    routes: Router,
    labels: RouteLabels,
    metrics: HttpMetrics,
    headers: SecurityHeaders,
    hosts: HostCheck,
    site: Site,
    base_path: BasePath,
    timeout: Duration,
    on_rejected: Box<OnRejected>,
}

/// Called with the method and the path of each request that a connection limit rejects.
type OnRejected = dyn Fn(&Method, &str, Rejection) + Send + Sync;

impl AppService {
    /// Creates the service. The labels of the routes must be registered in the metrics already.
    #[must_use]
    pub fn new(routes: Router, metrics: HttpMetrics, site: Site) -> Self {
        let routes = routes
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed);
        Self(Arc::new(Inner {
            routes,
            labels: RouteLabels::registered_in(&metrics),
            metrics,
            headers: SecurityHeaders::new(site.hsts.as_ref()),
            hosts: HostCheck::new(site.public_origins.clone()),
            site,
            base_path: BasePath::default(),
            timeout: REQUEST_TIMEOUT,
            on_rejected: Box::new(|_, _, _| {}),
        }))
    }

    /// Extends the request timeout by that of a dependency that handlers wait for.
    ///
    /// # Panics
    /// The service has been cloned.
    #[must_use]
    pub fn with_dependency_timeout(mut self, dependency: Duration) -> Self {
        self.inner_mut().timeout = REQUEST_TIMEOUT + dependency;
        self
    }

    /// Serves the routes below this path.
    ///
    /// # Panics
    /// The service has been cloned.
    #[must_use]
    pub fn with_base_path(mut self, base_path: BasePath) -> Self {
        self.inner_mut().base_path = base_path;
        self
    }

    /// Calls this with the method and the path of each request that a connection limit rejects: it reaches no route that
    /// could count it.
    ///
    /// # Panics
    /// The service has been cloned.
    #[must_use]
    pub fn on_rejected(
        mut self,
        call: impl Fn(&Method, &str, Rejection) + Send + Sync + 'static,
    ) -> Self {
        self.inner_mut().on_rejected = Box::new(call);
        self
    }

    fn inner_mut(&mut self) -> &mut Inner {
        Arc::get_mut(&mut self.0).expect("the service is configured before it is cloned")
    }

    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.0.metrics
    }

    pub(crate) fn site(&self) -> &Site {
        &self.0.site
    }

    /// Handles a request.
    pub(crate) async fn respond(&self, mut request: Request) -> Response {
        let client = ClientKind::of(&request);
        let outside_base_path = self.0.base_path.strip_from(&mut request);
        let request_metrics = RequestMetrics::begin(&self.0.metrics, &self.0.labels, &request);
        let checked = framing::check(&request).and_then(|()| self.0.hosts.check(&request));
        let response = match (outside_base_path, checked) {
            (None, Ok(())) => {
                let target = options_method::prepare(&mut request);
                let response = self.0.routes.clone().call(request);
                let response = request_metrics
                    .instrument(with_timeout(self.0.timeout, catch_panic(response)))
                    .await;
                options_method::finish(response, target)
            }
            (_, Err(problem)) => problem.into_response(),
            (Some(response), Ok(())) => response,
        };
        let response = self.finish(response, &client);
        request_metrics.end(response.status());
        response
    }

    /// Returns true if the path is that of a probe.
    pub(crate) fn is_probe(&self, path: &str) -> bool {
        self.0.base_path.is_probe(path)
    }

    /// Returns the response to a request that a connection limit rejects. It is measured like any other.
    pub(crate) fn reject(&self, mut request: Request, rejection: Rejection) -> Response {
        let client = ClientKind::of(&request);
        // Only for the route's label: the response is the same outside the base path.
        let _ = self.0.base_path.strip_from(&mut request);
        let request_metrics = RequestMetrics::begin(&self.0.metrics, &self.0.labels, &request);
        (self.0.on_rejected)(request.method(), request.uri().path(), rejection);
        let response = self.finish(Problem::from(rejection).into_response(), &client);
        request_metrics.end(response.status());
        response
    }

    fn finish(&self, response: Response, client: &ClientKind) -> Response {
        let mut response = client.convert_problem(response, &self.0.base_path);
        self.0.headers.apply_headers(&mut response);
        response
    }
}

/// Returns the response, or a problem if it does not begin within the limit.
fn with_timeout(
    limit: Duration,
    response: impl Future<Output = Response>,
) -> impl Future<Output = Response> {
    timeout(limit, response).map(move |response| {
        response.unwrap_or_else(|_| {
            let seconds = limit.as_secs();
            let detail =
                format!("There was no response within {seconds} seconds. Please try again.");
            Problem::new(ProblemKind::TimedOut, detail)
                .retry_after(1)
                .into_response()
        })
    })
}

/// Returns the response, or a problem if the handler panics. Other requests are not affected.
fn catch_panic(
    response: impl Future<Output = Result<Response, Infallible>>,
) -> impl Future<Output = Response> {
    AssertUnwindSafe(response)
        .catch_unwind()
        .map(|outcome| match outcome {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(cause) => panic_response(&*cause).into_response(),
        })
}

async fn not_found(uri: Uri) -> Problem {
    let detail = format!("There is nothing at {}.", uri.path());
    Problem::new(ProblemKind::NotFound, detail)
}

pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!(
        "The method {method} is not allowed at {}. The header Allow lists the allowed methods.",
        uri.path()
    );
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}

fn panic_response(cause: &(dyn Any + Send)) -> Problem {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PROBLEM_JSON;
    use axum::{body::Body, routing::get};
    use prometheus::Registry;
    use std::future::pending;

    async fn response_of(routes: fn() -> Router) -> Response {
        let metrics = HttpMetrics::for_methods(&Registry::new());
        let service = AppService::new(routes(), metrics, Site::default());
        let request = Request::get("/").header("host", "a.example");
        service.respond(request.body(Body::empty()).unwrap()).await
    }

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "a test has no API to describe")]
    async fn a_response_that_takes_too_long_is_a_problem() {
        let response = response_of(|| Router::new().route("/", get(pending::<Response>))).await;
        assert_eq!(response.status(), ProblemKind::TimedOut.status());
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test has no API to describe")]
    async fn a_panic_is_a_problem() {
        async fn handler() -> Response {
            panic!("on purpose")
        }
        let response = response_of(|| Router::new().route("/", get(handler))).await;
        assert_eq!(response.status(), ProblemKind::InternalError.status());
        assert_eq!(response.headers()["content-type"], PROBLEM_JSON);
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
}
