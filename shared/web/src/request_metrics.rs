//! How long requests take.

use std::{collections::HashSet, time::Instant};

use axum::{
    extract::Request,
    http::{Method, StatusCode},
};
use futures_util::future::Either;
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    core::Collector,
    proto::{Metric, MetricFamily},
};

use super::{assets, server_span::ServerSpan};
use telemetry::metrics::{ExemplarHistogramVec, LATENCY_SECONDS};

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
pub(super) const OTHER_METHOD: &str = "_OTHER";

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
    pub(super) fn expect(&self, method: &str, route: &str, statuses: &[&str]) {
        for status in statuses {
            self.http_server_request_duration_seconds
                .with_label_values(&[method, route, status]);
        }
    }
}

/// The paths that have a label of their own: those whose answers are expected.
pub(super) struct Routes(HashSet<String>);

impl Routes {
    /// The routes of which the metrics know by now.
    pub(super) fn expected_by(metrics: &HttpMetrics) -> Self {
        let families = metrics.http_server_request_duration_seconds.collect();
        let measured = families.iter().flat_map(MetricFamily::get_metric);
        let labels = measured.flat_map(Metric::get_label);
        let routes = labels.filter(|label| label.name() == "http_route");
        Self(routes.map(|label| label.value().to_owned()).collect())
    }

    fn label(&self, path: &str) -> Option<&str> {
        // Each file's name changes with its content.
        if path.starts_with(assets::FOLDER) {
            return Some(assets::ROUTE);
        }
        self.0.get(path).map(String::as_str)
    }
}

/// A request that is being answered.
pub(super) struct RequestMetrics<'a> {
    metrics: &'a HttpMetrics,
    method: &'static str,
    route: Option<&'a str>,
    began: Instant,
    span: Option<ServerSpan>,
    _active: GaugeGuard,
}

impl<'a> RequestMetrics<'a> {
    pub(super) fn begin(metrics: &'a HttpMetrics, routes: &'a Routes, request: &Request) -> Self {
        let method = method_label(request.method());
        let route = routes.label(request.uri().path());
        let active = &metrics.http_server_active_requests;
        Self {
            metrics,
            method,
            route,
            span: ServerSpan::begin(request, method, route),
            _active: GaugeGuard::new(active.with_label_values(&[method])),
            began: Instant::now(),
        }
    }

    /// What belongs to the request finds its trace.
    pub(super) fn around<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        match &self.span {
            None => Either::Left(work),
            Some(span) => Either::Right(span.around(work)),
        }
    }

    pub(super) fn end(self, status: StatusCode) {
        let (method, route) = (self.method, self.route.unwrap_or(UNMATCHED));
        let duration = self.began.elapsed();
        let histograms = &self.metrics.http_server_request_duration_seconds;
        let labels = [method, route, status.as_str()];
        let seconds = duration.as_secs_f64();
        histograms.with_label_values(&labels).observe(seconds);
        if let Some(span) = self.span {
            if let Some(exemplar) = span.exemplar(seconds) {
                histograms.remember(&labels, exemplar);
            }
            span.end(status);
        }
        tracing::debug!(
            method,
            route,
            status = status.as_u16(),
            ?duration,
            "request answered"
        );
    }
}

fn method_label(method: &Method) -> &'static str {
    METHODS
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or(OTHER_METHOD)
}

/// Counts one thing up for as long as it lives: a request, also when its client goes away and the handler is dropped.
pub(super) struct GaugeGuard(IntGauge);

impl GaugeGuard {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
