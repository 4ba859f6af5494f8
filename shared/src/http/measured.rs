//! How long requests take.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use prometheus::{HistogramVec, IntCounter, IntGauge, IntGaugeVec, Registry};

use super::{assets, traced::ServerSpan};
use crate::metrics::LATENCY_SECONDS;

crate::metrics! {
    /// What every service measures of its requests. Names follow the OpenTelemetry conventions for HTTP servers.
    pub struct HttpMetrics {
        /// Seconds from a request's head to its answer's head.
        pub http_server_request_duration_seconds: HistogramVec["http_request_method", "http_route", "http_response_status_code"] => LATENCY_SECONDS,
        /// Requests that have not been answered yet.
        pub http_server_active_requests: IntGaugeVec["http_request_method"],
        /// Connections that are open.
        pub http_server_open_connections: IntGauge,
        /// Connections that were refused because too many were open.
        pub http_server_refused_connections_total: IntCounter,
    }
}

/// The label of requests for what is not there: one per path that somebody tries would be one per attacker's whim.
const UNMATCHED: &str = "unmatched";
/// The methods that have a label of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
const OTHER_METHOD: &str = "_OTHER";

impl HttpMetrics {
    /// The metrics, with every method at 0.
    #[must_use]
    pub fn for_methods(registry: &Registry) -> Self {
        let metrics = Self::new(registry);
        for method in METHODS.into_iter().chain([OTHER_METHOD]) {
            metrics
                .http_server_active_requests
                .with_label_values(&[method]);
        }
        metrics.expect("GET", UNMATCHED, &["404"]);
        metrics
    }

    /// Puts the answers that a route may give at 0, so that the first of a kind is seen as an increase.
    pub(super) fn expect(&self, method: &str, route: &str, statuses: &[&str]) {
        for status in statuses {
            self.http_server_request_duration_seconds
                .with_label_values(&[method, route, status]);
        }
    }
}

pub(super) async fn measure(
    State(metrics): State<HttpMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let active = Counted::new(
        metrics
            .http_server_active_requests
            .with_label_values(&[method]),
    );
    let route = route.as_ref().map(route_label);
    let began = Instant::now();
    let response = match ServerSpan::begin(&request, method, route) {
        None => next.run(request).await,
        Some(span) => {
            let response = span.around(next.run(request)).await;
            span.end(response.status());
            response
        }
    };
    drop(active);
    let route = route.unwrap_or(UNMATCHED);
    metrics
        .http_server_request_duration_seconds
        .with_label_values(&[method, route, response.status().as_str()])
        .observe(began.elapsed().as_secs_f64());
    tracing::debug!(method, route, status = response.status().as_u16(), duration = ?began.elapsed(), "request answered");
    response
}

fn route_label(path: &MatchedPath) -> &str {
    // Each file's name changes with its content.
    if path.as_str().starts_with(assets::FOLDER) {
        assets::ROUTE
    } else {
        path.as_str()
    }
}

fn method_label(method: &Method) -> &'static str {
    METHODS
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or(OTHER_METHOD)
}

/// Counts one thing up for as long as it lives: a request, also when its client goes away and the handler is dropped.
pub(super) struct Counted(IntGauge);

impl Counted {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
