//! The server span of a request. Names follow the OpenTelemetry conventions for HTTP servers
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>). Addresses and unknown paths are left out.

use std::time::SystemTime;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use opentelemetry::{Context, propagation::TextMapPropagator, trace::TraceContextExt};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument, Span, field::Empty, info_span, instrument::Instrumented};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::OTHER_METHOD;
use crate::{probes::is_probe, request::forwarded_scheme};
use telemetry::{metrics::Exemplar, traces};

/// Maximum length of an unknown method in the span, in bytes. Methods are ASCII.
const MAX_METHOD: usize = 32;

/// The span of a request in flight. It is disabled if traces are off.
pub(crate) struct ServerSpan(Span);

impl ServerSpan {
    /// Starts a span in the client's trace, or in a new one.
    pub(crate) fn begin(request: &Request, method: &'static str, route: Option<&str>) -> Self {
        // Probes are frequent and of no interest.
        if is_probe(request.uri().path()) {
            return Self(Span::none());
        }
        let span = info_span!(
            target: traces::TARGET,
            parent: None,
            "request",
            otel.name = span_name(method, route),
            otel.kind = "server",
            otel.status_code = Empty,
            http.request.method = method,
            http.request.method_original = original_method(request, method),
            http.response.status_code = Empty,
            http.route = route,
            url.scheme = scheme(request.headers()),
            "error.type" = Empty,
        );
        if !span.is_disabled() {
            // It fails only for a span that is disabled or has started.
            let _ = span.set_parent(parent_context(request.headers()));
        }
        Self(span)
    }

    /// Runs work in this span, so that its logs and spans belong to the trace.
    pub(crate) fn instrument<T>(&self, work: T) -> Instrumented<T> {
        work.instrument(self.0.clone())
    }

    /// Returns an exemplar with the duration of the request if its trace is sampled.
    pub(crate) fn exemplar(&self, seconds: f64) -> Option<Exemplar> {
        // Traces are off, or it is a probe: then the subscriber has no context to look for.
        if self.0.is_disabled() {
            return None;
        }
        let context = self.0.context();
        let span = context.span();
        let ids = span.span_context();
        ids.is_sampled().then(|| Exemplar {
            trace: ids.trace_id(),
            span: ids.span_id(),
            value: seconds,
            time: SystemTime::now(),
        })
    }

    pub(crate) fn end(self, status: StatusCode) {
        if self.0.is_disabled() {
            return;
        }
        self.0
            .record("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.0.record("error.type", status.as_str());
            self.0.record("otel.status_code", "error");
        }
    }
}

/// Returns a name of low cardinality: clients can send any method.
fn span_name(method: &'static str, route: Option<&str>) -> String {
    let verb = if method == OTHER_METHOD {
        "HTTP"
    } else {
        method
    };
    route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"))
}

/// Returns the method as the client sent it if it is unknown.
fn original_method<'a>(request: &'a Request, method: &'static str) -> Option<&'a str> {
    let original = request.method().as_str();
    (method == OTHER_METHOD).then(|| &original[..original.len().min(MAX_METHOD)])
}

fn scheme(headers: &HeaderMap) -> &'static str {
    match forwarded_scheme(headers) {
        Some("https") => "https",
        _ => "http",
    }
}

fn parent_context(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}
