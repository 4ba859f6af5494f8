//! The HTTP service around the routes: security headers, metrics, checks, a timeout, a panic handler, and problems as pages for
//! browsers.
//!
//! The layers are built once, around the finished router: around each route they would be cloned, and allocate, for every request.

mod failures;
mod fallbacks;
mod handler;

use std::{sync::Arc, time::Duration};

use axum::{Router, http::Method};
use tower::{ServiceBuilder, timeout::TimeoutLayer};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    BasePath, HttpMetrics, Site, metrics::RouteLabels, request::host::HostCheck,
    response::security_headers::SecurityHeaders, server::Rejection,
};

use failures::PanicResponse;
pub(crate) use fallbacks::method_not_allowed;
use fallbacks::not_found;
pub(crate) use handler::LayeredService;
use handler::RequestContext;

/// Timeout of a request until its response begins.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A service's routes with the handling that all requests need.
pub struct AppService {
    routes: Router,
    context: RequestContext,
}

impl AppService {
    /// Creates the service. The labels of the routes must be registered in the metrics already.
    #[must_use]
    pub fn new(routes: Router, metrics: HttpMetrics, site: Site) -> Self {
        let routes = routes
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed);
        Self {
            routes,
            context: RequestContext {
                labels: RouteLabels::registered_in(&metrics),
                metrics,
                headers: SecurityHeaders::new(site.hsts.as_ref()),
                hosts: HostCheck::new(site.public_origins.clone()),
                site,
                base_path: BasePath::default(),
                timeout: REQUEST_TIMEOUT,
                on_rejected: Box::new(|_, _, _| {}),
            },
        }
    }

    /// Extends the request timeout by that of a dependency that handlers wait for.
    #[must_use]
    pub fn with_dependency_timeout(mut self, dependency: Duration) -> Self {
        self.context.timeout = REQUEST_TIMEOUT + dependency;
        self
    }

    /// Serves the routes below this path.
    #[must_use]
    pub fn with_base_path(mut self, base_path: BasePath) -> Self {
        self.context.base_path = base_path;
        self
    }

    /// Calls this with the method and the path of each request that a connection limit rejects: it reaches no route that
    /// could count it.
    #[must_use]
    pub fn on_rejected(
        mut self,
        call: impl Fn(&Method, &str, Rejection) + Send + Sync + 'static,
    ) -> Self {
        self.context.on_rejected = Box::new(call);
        self
    }

    /// Builds the layers around the routes.
    pub(crate) fn layered(self) -> LayeredService {
        let routes = ServiceBuilder::new()
            .layer(TimeoutLayer::new(self.context.timeout))
            .layer(CatchPanicLayer::custom(PanicResponse))
            .service(self.routes);
        LayeredService {
            routes,
            context: Arc::new(self.context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PROBLEM_JSON, ProblemKind};
    use axum::{body::Body, extract::Request, response::Response, routing::get};
    use prometheus::Registry;
    use std::future::pending;

    async fn response_of(routes: fn() -> Router) -> Response {
        let metrics = HttpMetrics::for_methods(&Registry::new());
        let mut service = AppService::new(routes(), metrics, Site::default()).layered();
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
