//! Metrics and traces of requests.

mod request_metrics;
mod server_span;

use axum::http::Method;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use telemetry::metrics::{ExemplarHistogramVec, LATENCY_SECONDS};

pub(crate) use request_metrics::{RequestMetrics, RouteLabels};

telemetry::metrics! {
    /// Metrics of HTTP requests and connections. Names follow the OpenTelemetry conventions for HTTP servers.
    pub struct HttpMetrics {
        /// Seconds from the head of a request to the head of its response.
        pub http_server_request_duration_seconds: ExemplarHistogramVec["http_request_method", "http_route", "http_response_status_code"] => LATENCY_SECONDS,
        /// Requests in flight.
        pub http_server_active_requests: IntGaugeVec["http_request_method"],
        /// Open connections.
        pub http_server_open_connections: IntGauge,
        /// Connections rejected by the limit on open connections.
        pub http_server_connections_rejected_total: IntCounter,
        /// Connections, requests and streams rejected by the limit per client address.
        pub http_server_connections_rejected_per_address_total: IntCounterVec["what"],
        /// Malformed requests, which belong to no route. They get a 400, 414 or 431 response, and their connection is closed.
        pub http_server_unreadable_requests_total: IntCounter,
    }
}

/// The route label of unknown paths. A label for each path would let clients create any number of series.
const UNMATCHED: &str = "unmatched";
/// The methods that have a label of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
pub(crate) const OTHER_METHOD: &str = "_OTHER";

impl HttpMetrics {
    /// Creates and registers the metrics, with each method at 0.
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
        metrics.pre_register_labels("GET", UNMATCHED, &["404"]);
        metrics
    }

    /// Registers the statuses of a route at 0, so that the first response with one is visible as an increase.
    pub(crate) fn pre_register_labels(&self, method: &str, route: &str, statuses: &[&str]) {
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

/// Increments a gauge until it is dropped, also if the client disconnects and the handler is dropped.
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Increments the gauge.
    #[must_use]
    pub fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
