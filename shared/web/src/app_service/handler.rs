//! The handling of a request before and after its route: metrics, checks, `OPTIONS`, problems as pages for browsers, and security
//! headers.
//!
//! It is one function and not a layer of each: layers are cloned for every request, and copy their response.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::Method,
    response::{IntoResponse, Response},
};
use tower::{Service, timeout::Timeout};
use tower_http::catch_panic::CatchPanic;

use super::failures::{PanicResponse, timed_out};
use crate::{
    BasePath, HttpMetrics, Problem, Site,
    metrics::{RequestMetrics, RouteLabels},
    request::{host::HostCheck, options_method},
    response::{problem_page::ClientKind, security_headers::SecurityHeaders},
    server::{Rejection, framing},
};

/// The finished routes with the layers around them.
type Routes = Timeout<CatchPanic<Router, PanicResponse>>;

/// Called with the method and the path of each request that a connection limit rejects.
type OnRejected = dyn Fn(&Method, &str, Rejection) + Send + Sync;

/// State that the handling of all requests needs.
pub(super) struct RequestContext {
    pub(super) labels: RouteLabels,
    pub(super) metrics: HttpMetrics,
    pub(super) headers: SecurityHeaders,
    pub(super) hosts: HostCheck,
    pub(super) site: Site,
    pub(super) base_path: BasePath,
    pub(super) timeout: Duration,
    pub(super) on_rejected: Box<OnRejected>,
}

/// The routes with all handling around them. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct LayeredService {
    pub(super) routes: Routes,
    pub(super) context: Arc<RequestContext>,
}

impl LayeredService {
    pub(crate) fn metrics(&self) -> &HttpMetrics {
        &self.context.metrics
    }

    pub(crate) fn site(&self) -> &Site {
        &self.context.site
    }

    /// Returns true if the path is that of a probe.
    pub(crate) fn is_probe(&self, path: &str) -> bool {
        self.context.base_path.is_probe(path)
    }

    /// Handles a request.
    pub(crate) async fn respond(&mut self, mut request: Request) -> Response {
        let context = &*self.context;
        let client = ClientKind::of(&request);
        let outside_base_path = context.base_path.strip_from(&mut request);
        let request_metrics = RequestMetrics::begin(&context.metrics, &context.labels, &request);
        let checked = framing::check(&request).and_then(|()| context.hosts.check(&request));
        let response = match (outside_base_path, checked) {
            (None, Ok(())) => {
                let target = options_method::prepare(&mut request);
                // Routers are always ready.
                let response = request_metrics.instrument(self.routes.call(request)).await;
                let response = response.map_or_else(
                    |_elapsed| timed_out(context.timeout),
                    |response| response.map(Body::new),
                );
                options_method::finish(response, target)
            }
            (_, Err(problem)) => problem.into_response(),
            (Some(response), Ok(())) => response,
        };
        let response = context.finish(response, &client);
        request_metrics.end(response.status());
        response
    }

    /// Returns the response to a request that a connection limit rejects. It is measured like any other.
    pub(crate) fn reject(&self, mut request: Request, rejection: Rejection) -> Response {
        let context = &*self.context;
        let client = ClientKind::of(&request);
        // Only for the route's label: the response is the same outside the base path.
        let _ = context.base_path.strip_from(&mut request);
        let request_metrics = RequestMetrics::begin(&context.metrics, &context.labels, &request);
        (context.on_rejected)(request.method(), request.uri().path(), rejection);
        let response = context.finish(Problem::from(rejection).into_response(), &client);
        request_metrics.end(response.status());
        response
    }
}

impl RequestContext {
    fn finish(&self, response: Response, client: &ClientKind) -> Response {
        let mut response = client.convert_problem(response, &self.base_path);
        self.headers.apply_headers(&mut response);
        response
    }
}
