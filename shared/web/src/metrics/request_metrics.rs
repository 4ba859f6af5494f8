//! Metrics of one request.

use std::{collections::HashSet, time::Instant};

use axum::{extract::Request, http::StatusCode};
use prometheus::{
    core::Collector,
    proto::{Metric, MetricFamily},
};
use tracing::instrument::Instrumented;

use super::{GaugeGuard, HttpMetrics, UNMATCHED, method_label, server_span::ServerSpan};
use crate::response::{PREFIX, ROUTE};

/// The paths that are route labels: those that are pre-registered in the metrics.
pub(crate) struct RouteLabels(HashSet<String>);

impl RouteLabels {
    /// Reads the labels that are registered in the metrics.
    pub(crate) fn registered_in(metrics: &HttpMetrics) -> Self {
        let families = metrics.http_server_request_duration_seconds.collect();
        let series = families.iter().flat_map(MetricFamily::get_metric);
        let labels = series.flat_map(Metric::get_label);
        let routes = labels.filter(|label| label.name() == "http_route");
        Self(routes.map(|label| label.value().to_owned()).collect())
    }

    fn label(&self, path: &str) -> Option<&str> {
        // The names of static files contain a fingerprint.
        if path.starts_with(PREFIX) {
            return Some(ROUTE);
        }
        self.0.get(path).map(String::as_str)
    }
}

/// The metrics and the span of a request in flight.
pub(crate) struct RequestMetrics<'a> {
    metrics: &'a HttpMetrics,
    method: &'static str,
    route: Option<&'a str>,
    start: Instant,
    span: ServerSpan,
    _active: GaugeGuard,
}

impl<'a> RequestMetrics<'a> {
    pub(crate) fn begin(
        metrics: &'a HttpMetrics,
        labels: &'a RouteLabels,
        request: &Request,
    ) -> Self {
        let method = method_label(request.method());
        let route = labels.label(request.uri().path());
        let active = &metrics.http_server_active_requests;
        Self {
            metrics,
            method,
            route,
            span: ServerSpan::begin(request, method, route),
            _active: GaugeGuard::new(active.with_label_values(&[method])),
            start: Instant::now(),
        }
    }

    /// Runs work in the span of the request.
    pub(crate) fn instrument<T>(&self, work: T) -> Instrumented<T> {
        self.span.instrument(work)
    }

    pub(crate) fn end(self, status: StatusCode) {
        let (method, route) = (self.method, self.route.unwrap_or(UNMATCHED));
        let duration = self.start.elapsed();
        let histograms = &self.metrics.http_server_request_duration_seconds;
        let labels = [method, route, status.as_str()];
        let seconds = duration.as_secs_f64();
        histograms.with_label_values(&labels).observe(seconds);
        if let Some(exemplar) = self.span.exemplar(seconds) {
            histograms.record_exemplar(&labels, exemplar);
        }
        self.span.end(status);
        tracing::debug!(
            method,
            route,
            status = status.as_u16(),
            ?duration,
            "request finished"
        );
    }
}
