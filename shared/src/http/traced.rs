//! The part of a trace in which a service answers a request. Names follow the OpenTelemetry conventions for HTTP servers;
//! addresses, and paths that somebody tries, are left out.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    propagation::TextMapPropagator,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use crate::traces;

/// A request in hand that belongs to a trace.
pub(super) struct ServerSpan(Context);

impl ServerSpan {
    /// Begins where the client's part left off, or a new trace; `None`: traces are off.
    pub(super) fn begin(
        request: &Request,
        method: &'static str,
        route: Option<&str>,
    ) -> Option<Self> {
        let tracer = traces::tracer()?;
        // Probes come all the time and lead nowhere.
        if super::is_probe(request.uri().path()) {
            return None;
        }
        let name = route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
        let parent = parent_of(request.headers());
        let span = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .start_with_context(tracer, &parent);
        let context = parent.with_span(span);
        let span = context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new("http.request.method", method));
            if let Some(route) = route {
                span.set_attribute(KeyValue::new("http.route", route.to_owned()));
            }
        }
        Some(Self(context))
    }

    /// What belongs to the request, logs and further spans, finds its trace.
    pub(super) fn around<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        work.with_context(self.0.clone())
    }

    pub(super) fn end(self, status: StatusCode) {
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

fn parent_of(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}
