//! Trace spans of the queue. Names follow the OpenTelemetry conventions for messaging
//! (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>): a batch of messages is processed in one span, which
//! links to the spans of its messages. Voters and their choices are left out.

use std::fmt::Display;

use opentelemetry::{
    Context, ContextGuard, KeyValue,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::{
    Instrument, Span,
    field::{Empty, display},
    info_span,
    instrument::Instrumented,
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{BALLOTS_TABLE, Consumer, Queue, QueueError, StreamEntry};
use poll::ballot::{Ballot, BallotId, Traceparent};
use telemetry::traces;

const MESSAGE_ID: &str = "messaging.message.id";
/// Values of `messaging.system`.
const SQLITE: &str = "sqlite";
const REDIS: &str = "redis";

/// Span of enqueueing one ballot, together with the ballot.
pub struct ProducerSpan {
    ballot: Ballot,
    /// Disabled if the trace of the request is not sampled.
    span: Span,
}

impl ProducerSpan {
    /// Begins a span in the trace of the current request and adds its trace context to the ballot, for the worker.
    #[must_use]
    pub fn begin(ballot: Ballot, queue: &Queue) -> Self {
        let mut begun = Self {
            ballot,
            span: producer_span(queue),
        };
        if !begun.span.is_disabled() {
            begun.ballot.traceparent = traceparent(begun.span.context().span().span_context());
        }
        begun
    }

    /// Returns the ballot to enqueue.
    #[must_use]
    pub fn ballot(&self) -> &Ballot {
        &self.ballot
    }

    /// Ends the span with the outcome and returns the ballot.
    #[must_use]
    pub fn end(self, outcome: &Result<BallotId, QueueError>) -> Ballot {
        if !self.span.is_disabled() {
            match outcome {
                Ok(id) => {
                    self.span.record(MESSAGE_ID, display(id));
                }
                Err(error) => traces::record_error(&self.span, error.kind(), error),
            }
        }
        self.ballot
    }
}

fn producer_span(queue: &Queue) -> Span {
    if !traces::is_recording() {
        return Span::none();
    }
    let destination = queue.name();
    let system = match queue {
        Queue::Sqlite(_) => SQLITE,
        Queue::Redis(_) => REDIS,
    };
    info_span!(
        target: traces::TARGET,
        "send",
        otel.name = format!("send {destination}"),
        otel.kind = "producer",
        otel.status_description = Empty,
        messaging.system = system,
        messaging.operation.name = "send",
        "messaging.operation.type" = "send",
        messaging.destination.name = destination,
        messaging.message.id = Empty,
        "error.type" = Empty,
    )
}

/// Span of an attempt to store a batch of ballots: the root of a new trace, with links to the traces of the ballots.
pub struct BatchSpan(Span);

impl Consumer {
    /// Begins the span of a batch. The span is disabled if no ballot's trace is sampled.
    #[must_use]
    pub fn begin_batch(&self, entries: &[StreamEntry]) -> BatchSpan {
        if !traces::are_enabled() {
            return BatchSpan(Span::none());
        }
        let mut links = entries
            .iter()
            .filter_map(|entry| Some((entry.trace()?, entry.id)))
            .peekable();
        if links.peek().is_none() {
            return BatchSpan(Span::none());
        }
        let (system, destination, group) = match self {
            Self::Sqlite(_) => (SQLITE, BALLOTS_TABLE, None),
            Self::Redis(consumer) => (REDIS, consumer.stream(), Some(super::redis::GROUP)),
        };
        let span = info_span!(
            target: traces::TARGET,
            parent: None,
            "process",
            otel.name = format!("process {destination}"),
            otel.kind = "consumer",
            otel.status_description = Empty,
            messaging.system = system,
            messaging.operation.name = "process",
            "messaging.operation.type" = "process",
            messaging.destination.name = destination,
            messaging.consumer.group.name = group,
            messaging.batch.message_count = i64::try_from(entries.len()).unwrap_or(i64::MAX),
            "error.type" = Empty,
        );
        for (sent, id) in links {
            let id = KeyValue::new(MESSAGE_ID, id.to_string());
            span.add_link_with_attributes(sent, vec![id]);
        }
        BatchSpan(span)
    }
}

impl BatchSpan {
    /// Runs work on the batch in the span.
    pub fn instrument<T>(&self, work: T) -> Instrumented<T> {
        work.instrument(self.0.clone())
    }

    /// Ends the span of a stored batch. The entries in `dead` became dead letters.
    pub fn end_stored(self, dead: &[BallotId]) {
        if !dead.is_empty() {
            let description = format_args!("dead letters: {dead:?}");
            traces::record_error(&self.0, "dead_letter", &description);
        }
    }

    /// Ends the span of a batch that could not be stored and will be retried.
    pub fn end_failed(self, kind: &'static str, error: &dyn Display) {
        traces::record_error(&self.0, kind, error);
    }
}

impl StreamEntry {
    /// Makes the ballot's trace the current one until the guard is dropped, for log lines.
    #[must_use]
    pub fn enter_trace(&self) -> Option<ContextGuard> {
        if !traces::are_enabled() {
            return None;
        }
        let context = Context::new().with_remote_span_context(self.trace()?);
        Some(context.attach())
    }

    /// Returns the ballot's producer span if it is sampled.
    fn trace(&self) -> Option<SpanContext> {
        let sent = span_context(&self.traceparent()?);
        (sent.is_valid() && sent.is_sampled()).then_some(sent)
    }
}

/// Returns the `traceparent` header of this span.
fn traceparent(span: &SpanContext) -> Option<Traceparent> {
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
    Traceparent::parse(&format!("00-{trace}-{id}-{flags:02x}"))
}

/// Returns the span of a `traceparent` header; an invalid one if the header is all zeros.
fn span_context(traceparent: &Traceparent) -> SpanContext {
    // The header was parsed, so each part has its fixed length.
    let raw = traceparent.as_str();
    let trace = TraceId::from_hex(&raw[3..35]).unwrap_or(TraceId::INVALID);
    let span = SpanId::from_hex(&raw[36..52]).unwrap_or(SpanId::INVALID);
    let flags = u8::from_str_radix(&raw[53..55], 16).unwrap_or_default();
    SpanContext::new(trace, span, TraceFlags::new(flags), true, TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_converts_to_its_span_and_back() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = span_context(&Traceparent::parse(header).unwrap());
        assert!(span.is_valid() && span.is_sampled() && span.is_remote());
        assert_eq!(traceparent(&span).unwrap().as_str(), header);
        let zeros = "00-00000000000000000000000000000000-0000000000000000-00";
        let invalid = span_context(&Traceparent::parse(zeros).unwrap());
        assert!(!invalid.is_valid() && !invalid.is_sampled());
    }
}
