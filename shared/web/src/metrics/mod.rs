//! Metrics and traces of requests.

mod request_metrics;
mod server_span;

use axum::http::Method;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use telemetry::metrics::{ExemplarHistogramVec, LATENCY_SECONDS};

pub(crate) use request_metrics::{RequestMetrics, Routes};

telemetry::metrics! {
    /// What every service measures of its requests. Names follow the OpenTelemetry conventions for HTTP servers.
    pub struct HttpMetrics {
        /// Seconds from a request's head to its answer's head.
        pub http_server_request_duration_seconds: ExemplarHistogramVec["http_request_method", "http_route", "http_response_status_code"] => LATENCY_SECONDS,
        /// Requests that have not been answered yet.
        pub http_server_active_requests: IntGaugeVec["http_request_method"],
        /// Connections that are open.
        pub http_server_open_connections: IntGauge,
        /// Connections that were refused because too many were open.
        pub http_server_connections_rejected_total: IntCounter,
        /// Connections, requests and streams that were refused because their client's address had too many of them.
        pub http_server_connections_rejected_per_address_total: IntCounterVec["what"],
        /// Requests that could not be read, and so belong to no route: answered with 400, 414 or 431, and their connection closed.
        pub http_server_unreadable_requests_total: IntCounter,
    }
}

/// The label of requests for what is not there: one per path that somebody tries would be one per attacker's whim.
const UNMATCHED: &str = "unmatched";
/// The methods that have a label of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
pub(crate) const OTHER_METHOD: &str = "_OTHER";

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
        for what in ["connection", "request", "stream"] {
            metrics
                .http_server_connections_rejected_per_address_total
                .with_label_values(&[what]);
        }
        metrics.expect("GET", UNMATCHED, &["404"]);
        metrics
    }

    /// Puts the answers that a route may give at 0, so that the first of a kind is seen as an increase.
    pub(crate) fn expect(&self, method: &str, route: &str, statuses: &[&str]) {
        for status in statuses {
            self.http_server_request_duration_seconds
                .with_label_values(&[method, route, status]);
        }
    }
}

fn method_label(method: &Method) -> &'static str {
    METHODS
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or(OTHER_METHOD)
}

/// Counts one thing up for as long as it lives: a request, also when its client goes away and the handler is dropped.
pub(crate) struct GaugeGuard(IntGauge);

impl GaugeGuard {
    pub(crate) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
