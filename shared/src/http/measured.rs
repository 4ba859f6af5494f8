//! How long requests take.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use prometheus::{HistogramVec, IntCounter, IntGauge, IntGaugeVec};

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

pub(super) async fn measure(
    State(metrics): State<HttpMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let method = method_label(request.method());
    // A label per path that somebody tries would be a label per attacker's whim.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let active = Counted::new(
        metrics
            .http_server_active_requests
            .with_label_values(&[method]),
    );
    let began = Instant::now();
    let response = next.run(request).await;
    drop(active);
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics
        .http_server_request_duration_seconds
        .with_label_values(&[method, route, response.status().as_str()])
        .observe(began.elapsed().as_secs_f64());
    tracing::debug!(method, route, status = response.status().as_u16(), duration = ?began.elapsed(), "request answered");
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
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
