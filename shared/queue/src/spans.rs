//! The parts of traces in which ballots are on their way through the queue. Names follow the OpenTelemetry conventions for
//! messaging (<https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/>): a batch of messages is processed in
//! one span, which links to the messages' own. Who voted, and for what, is left out.

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

/// A ballot on its way into the queue.
pub struct ProducerSpan {
    ballot: Ballot,
    /// `None`: its request has no trace that anybody looks at.
    context: Option<Context>,
}

impl ProducerSpan {
    /// Begins within the trace of the request that is being answered, so that a worker goes on where this part ends.
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

    /// What to put there.
    #[must_use]
    pub fn ballot(&self) -> &Ballot {
        &self.ballot
    }

    /// The queue has it, or has failed.
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

/// A batch of ballots that a worker stores: a span in a trace of its own, which links to the traces of the ballots.
pub struct BatchSpan(Option<Context>);

impl Consumer {
    /// Begins the span of a batch that was read `since` then. There is none if no ballot's trace is sampled.
    #[must_use]
    pub fn begin_batch(&self, deliveries: &[StreamEntry], since: SystemTime) -> BatchSpan {
        let Some(tracer) = traces::tracer() else {
            return BatchSpan(None);
        };
        let link = |delivery: &StreamEntry| {
            let sent = delivery.trace()?.span().span_context().clone();
            Some(Link::new(sent, vec![message_id(delivery.id)], 0))
        };
        let links: Vec<_> = deliveries.iter().filter_map(link).collect();
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
        let count = i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
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
    /// Runs the work on the batch within the span.
    pub fn around<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        traces::in_context(self.0.as_ref(), work)
    }

    /// Ends the span of a batch that was stored; these ballots of it became dead letters.
    pub fn end_stored(self, dead: &[BallotId]) {
        self.end((!dead.is_empty()).then(|| ("dead_letter", format!("dead letters: {dead:?}"))));
    }

    /// Ends the span of a batch that could not be stored, and is tried again.
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
    /// While this lives, what is logged belongs to the ballot's trace.
    #[must_use]
    pub fn enter_trace(&self) -> Option<ContextGuard> {
        traces::tracer()?;
        self.trace().map(Context::attach)
    }

    /// The part of its trace that led to it, if it has one that somebody looks at.
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

/// Returns the header that leads to this span.
fn traceparent(span: &SpanContext) -> Option<Traceparent> {
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
    Traceparent::parse(&format!("00-{trace}-{id}-{flags:02x}"))
}

/// Returns the span that the header leads to; an invalid one if the header is all zeros.
fn span_context(traceparent: &Traceparent) -> SpanContext {
    // Each part has a fixed length, which was checked.
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
    fn a_traceparent_leads_to_the_span_that_it_was_made_of() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = span_context(&Traceparent::parse(header).unwrap());
        assert!(span.is_valid() && span.is_sampled() && span.is_remote());
        assert_eq!(traceparent(&span).unwrap().as_str(), header);
        let zeros = "00-00000000000000000000000000000000-0000000000000000-00";
        let nothing = span_context(&Traceparent::parse(zeros).unwrap());
        assert!(!nothing.is_valid() && !nothing.is_sampled());
    }
}
