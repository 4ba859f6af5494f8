//! The server span of a request. Names follow the OpenTelemetry conventions for HTTP servers
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>). Addresses and unknown paths are left out.

use std::time::SystemTime;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::OTHER_METHOD;
use crate::{probes::is_probe, request::forwarded_scheme};
use telemetry::{metrics::Exemplar, traces};

/// Maximum length of an unknown method in the span, in bytes. Methods are ASCII.
const MAX_METHOD: usize = 32;

/// The span of a request in flight.
pub(crate) struct ServerSpan(Context);

impl ServerSpan {
    /// Starts a span in the client's trace, or in a new one; `None`: traces are off.
    pub(crate) fn begin(
        request: &Request,
        method: &'static str,
        route: Option<&str>,
    ) -> Option<Self> {
        let tracer = traces::tracer()?;
        // Probes are frequent and of no interest.
        if is_probe(request.uri().path()) {
            return None;
        }
        // The name has low cardinality: clients can send any method.
        let is_known = method != OTHER_METHOD;
        let verb = if is_known { method } else { "HTTP" };
        let name = route.map_or_else(|| verb.to_owned(), |route| format!("{verb} {route}"));
        let parent = parent_context(request.headers());
        let span = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .start_with_context(tracer, &parent);
        let context = parent.with_span(span);
        let span = context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new("http.request.method", method));
            if !is_known {
                let original = request.method().as_str();
                let original = &original[..original.len().min(MAX_METHOD)];
                let original = KeyValue::new("http.request.method_original", original.to_owned());
                span.set_attribute(original);
            }
            let is_https = forwarded_scheme(request.headers()) == Some("https");
            let scheme = if is_https { "https" } else { "http" };
            span.set_attribute(KeyValue::new("url.scheme", scheme));
            if let Some(route) = route {
                span.set_attribute(KeyValue::new("http.route", route.to_owned()));
            }
        }
        Some(Self(context))
    }

    /// Runs work with this span as its context, so that its logs and spans belong to the trace.
    pub(crate) fn instrument<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        traces::in_context(Some(&self.0), work)
    }

    /// Returns an exemplar with the duration of the request if its trace is sampled.
    pub(crate) fn exemplar(&self, seconds: f64) -> Option<Exemplar> {
        let span = self.0.span();
        let context = span.span_context();
        context.is_sampled().then(|| Exemplar {
            trace: context.trace_id(),
            span: context.span_id(),
            value: seconds,
            time: SystemTime::now(),
        })
    }

    pub(crate) fn end(self, status: StatusCode) {
        let span = self.0.span();
        if span.is_recording() {
            let code = i64::from(status.as_u16());
            span.set_attribute(KeyValue::new("http.response.status_code", code));
            if status.is_server_error() {
                span.set_attribute(KeyValue::new("error.type", code.to_string()));
                span.set_status(Status::error(""));
            }
        }
        span.end();
    }
}

fn parent_context(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}
