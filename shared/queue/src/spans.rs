//! Trace spans of the queue. Names follow the OpenTelemetry conventions for messaging
//! (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>): a batch of messages is processed in one span, which
//! links to the spans of its messages. Voters and their choices are left out.

use std::{fmt, time::SystemTime};

use opentelemetry::{
    Context, ContextGuard, KeyValue,
    trace::{
        Link, SpanContext, SpanId, SpanKind, TraceContextExt, TraceFlags, TraceId, TraceState,
        Tracer,
    },
};

use super::{BALLOTS_TABLE, Consumer, Queue, QueueError, StreamEntry};
use poll::ballot::{Ballot, BallotId, Traceparent};
use telemetry::traces;

/// Span of enqueueing one ballot, together with the ballot.
pub struct ProducerSpan {
    ballot: Ballot,
    /// `None` if the trace of the request is not sampled.
    context: Option<Context>,
}

impl ProducerSpan {
    /// Begins a span in the trace of the current request and adds its trace context to the ballot, for the worker.
    #[must_use]
    pub fn begin(ballot: Ballot, queue: &Queue) -> Self {
        let Some(context) = begin_span(queue) else {
            return Self {
                ballot,
                context: None,
            };
        };
        let traceparent = traceparent(context.span().span_context());
        Self {
            ballot: Ballot {
                traceparent,
                ..ballot
            },
            context: Some(context),
        }
    }

    /// Returns the ballot to enqueue.
    #[must_use]
    pub fn ballot(&self) -> &Ballot {
        &self.ballot
    }

    /// Ends the span with the outcome and returns the ballot.
    #[must_use]
    pub fn end(self, outcome: &Result<BallotId, QueueError>) -> Ballot {
        if let Some(context) = &self.context {
            if let Ok(id) = outcome {
                context.span().set_attribute(message_id(*id));
            }
            let failure = outcome.as_ref().err();
            traces::end(
                context,
                failure.map(|error| (error.kind(), error.to_string())),
            );
        }
        self.ballot
    }
}

fn begin_span(queue: &Queue) -> Option<Context> {
    let tracer = traces::tracer()?;
    let request = Context::current();
    if !request.span().is_recording() {
        return None;
    }
    let (system, destination) = match queue {
        Queue::Sqlite(_) => ("sqlite", queue.name()),
        Queue::Redis(_) => ("redis", queue.name()),
    };
    let span = tracer
        .span_builder(format!("send {destination}"))
        .with_kind(SpanKind::Producer)
        .with_attributes(attributes("send", system, destination))
        .start_with_context(tracer, &request);
    Some(request.with_span(span))
}

/// Span of storing a batch of ballots: the root of a new trace, with links to the traces of the ballots.
pub struct BatchSpan(Option<Context>);

impl Consumer {
    /// Begins the span of a batch that was read at `since`. The span is empty if no ballot's trace is sampled.
    #[must_use]
    pub fn begin_batch(&self, entries: &[StreamEntry], since: SystemTime) -> BatchSpan {
        let Some(tracer) = traces::tracer() else {
            return BatchSpan(None);
        };
        let link = |entry: &StreamEntry| {
            let sent = entry.trace()?.span().span_context().clone();
            Some(Link::new(sent, vec![message_id(entry.id)], 0))
        };
        let links: Vec<_> = entries.iter().filter_map(link).collect();
        if links.is_empty() {
            return BatchSpan(None);
        }
        let (system, destination) = match self {
            Self::Sqlite(_) => ("sqlite", BALLOTS_TABLE),
            Self::Redis(consumer) => ("redis", consumer.stream()),
        };
        let mut attributes = attributes("process", system, destination);
        if let Self::Redis(_) = self {
            let group = super::redis::GROUP;
            attributes.push(KeyValue::new("messaging.consumer.group.name", group));
        }
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("messaging.batch.message_count", count));
        let root = Context::new();
        let span = tracer
            .span_builder(format!("process {destination}"))
            .with_kind(SpanKind::Consumer)
            .with_start_time(since)
            .with_attributes(attributes)
            .with_links(links)
            .start_with_context(tracer, &root);
        BatchSpan(Some(root.with_span(span)))
    }
}

impl BatchSpan {
    /// Runs work on the batch in the span.
    pub fn instrument<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        traces::in_context(self.0.as_ref(), work)
    }

    /// Ends the span of a stored batch. The entries in `dead` became dead letters.
    pub fn end_stored(self, dead: &[BallotId]) {
        self.end((!dead.is_empty()).then(|| ("dead_letter", format!("dead letters: {dead:?}"))));
    }

    /// Ends the span of a batch that could not be stored and will be retried.
    pub fn end_failed(self, kind: &'static str, error: &dyn fmt::Display) {
        self.end(Some((kind, error.to_string())));
    }

    fn end(self, failure: Option<(&'static str, String)>) {
        if let Some(context) = &self.0 {
            traces::end(context, failure);
        }
    }
}

impl StreamEntry {
    /// Makes the ballot's trace the current one until the guard is dropped, for log lines.
    #[must_use]
    pub fn enter_trace(&self) -> Option<ContextGuard> {
        traces::tracer()?;
        self.trace().map(Context::attach)
    }

    /// Returns the context of the ballot's producer span if it is sampled.
    fn trace(&self) -> Option<Context> {
        let sent = span_context(&self.traceparent()?);
        (sent.is_valid() && sent.is_sampled())
            .then(|| Context::new().with_remote_span_context(sent))
    }
}

fn attributes(operation: &'static str, system: &'static str, destination: &str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", system),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.operation.type", operation),
        KeyValue::new("messaging.destination.name", destination.to_owned()),
    ]
}

fn message_id(id: BallotId) -> KeyValue {
    KeyValue::new("messaging.message.id", id.to_string())
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
