//! A receiver of OTLP over HTTP, like a collector.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::eventually;

/// A collector and the spans that it has received.
pub struct Collector {
    pub url: String,
    received: Received,
    _serving: AbortOnDropHandle<()>,
}

type Received = Arc<Mutex<Vec<ReceivedSpan>>>;

/// A span and the service that sent it.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    pub service: String,
    pub span: Span,
}

impl Collector {
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1").await
    }

    /// Starts it at a local address.
    pub async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind((address, 0))
            .await
            .expect("a port is free");
        let url = format!(
            "http://{}",
            listener.local_addr().expect("the listener is bound")
        );
        let received = Received::default();
        let routes = Router::new().fallback(receive).with_state(received.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes)
                .await
                .expect("the server runs");
        });
        Self {
            url,
            received,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// The settings with which a service sends its spans here, without much delay.
    pub fn settings(&self) -> [(&'static str, &str); 2] {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ]
    }

    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.received.lock().unwrap().clone()
    }

    /// Waits for the span with this name in this trace.
    pub async fn span(&self, trace: &str, name: &str) -> ReceivedSpan {
        let find = async || {
            let spans = self.spans().into_iter();
            let mut matching =
                spans.filter(|received| received.trace() == trace && received.span.name == name);
            matching.next()
        };
        let found = eventually(name, Option::is_some, find).await;
        found.expect("it exists")
    }

    /// Waits for a span with this name that links to another one.
    pub async fn span_linked_to(&self, sent: &ReceivedSpan, name: &str) -> ReceivedSpan {
        let link = (sent.trace(), sent.id());
        let find = async || {
            let spans = self.spans().into_iter();
            let mut matching = spans.filter(|received| received.span.name == name);
            matching.find(|received| received.links().contains(&link))
        };
        let found = eventually(name, Option::is_some, find).await;
        found.expect("it exists")
    }
}

impl ReceivedSpan {
    /// The trace ids and span ids that this span links to.
    pub fn links(&self) -> Vec<(String, String)> {
        let links = self.span.links.iter();
        links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect()
    }

    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The id of the parent span; empty for a root span.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    pub fn kind(&self) -> SpanKind {
        self.span.kind()
    }

    pub fn failed(&self) -> bool {
        let status = self.span.status.as_ref();
        status.is_some_and(|status| status.code() == SpanStatus::Error)
    }

    /// An attribute as text; empty if it is missing.
    pub fn attribute(&self, name: &str) -> String {
        text_of(&self.span.attributes, name)
    }
}

async fn receive(State(received): State<Received>, uri: Uri, body: Bytes) -> Response {
    if uri.path() != "/v1/traces" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut received = received.lock().unwrap();
    for group in request.resource_spans {
        let resource = group.resource.unwrap_or_default();
        let service = text_of(&resource.attributes, "service.name");
        let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.extend(spans.map(|span| ReceivedSpan {
            service: service.clone(),
            span,
        }));
    }
    // An empty message: all spans were accepted.
    [(CONTENT_TYPE, "application/x-protobuf")].into_response()
}

fn text_of(attributes: &[KeyValue], name: &str) -> String {
    let attribute = attributes.iter().find(|attribute| attribute.key == name);
    let value = attribute.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{name} is {other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("text can be written to");
        text
    })
}
