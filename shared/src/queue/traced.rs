//! The part of a trace in which a ballot is on its way through the queue. Names follow the OpenTelemetry conventions for
//! messaging; who voted, and for what, is left out.

use std::time::SystemTime;

use opentelemetry::{
    Context, ContextGuard, KeyValue,
    trace::{Span, SpanKind, Status, TraceContextExt, Tracer},
};

use super::{Consumer, Delivery, Queue, QueueError, TABLE};
use crate::{
    ballot::{Ballot, BallotId, Traceparent},
    traces,
};

/// A ballot on its way into the queue.
pub struct Sending {
    ballot: Ballot,
    /// `None`: its request has no trace that anybody looks at.
    context: Option<Context>,
}

impl Sending {
    /// Begins within the trace of the request that is being answered, so that a worker goes on where this part ends.
    #[must_use]
    pub fn begin(ballot: Ballot, queue: &Queue) -> Self {
        let Some(context) = begin_span(queue) else {
            return Self {
                ballot,
                context: None,
            };
        };
        let traceparent = Traceparent::of(context.span().span_context());
        Self {
            ballot: Ballot {
                traceparent: Some(traceparent),
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
            let span = context.span();
            match outcome {
                Ok(id) => span.set_attribute(message_id(*id)),
                Err(error) => {
                    span.set_attribute(KeyValue::new("error.type", error.kind()));
                    span.set_status(Status::error(error.to_string()));
                }
            }
            span.end();
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

impl Consumer {
    /// Adds to the trace of each ballot that has one: it was in this consumer's hands `since` then, and is now stored, or
    /// one of the `dead` letters.
    pub fn trace(&self, deliveries: &[Delivery], since: SystemTime, dead: &[BallotId]) {
        let Some(tracer) = traces::tracer() else {
            return;
        };
        let (system, destination) = match self {
            Self::Sqlite(_) => ("sqlite", TABLE),
            Self::Redis(consumer) => ("redis", consumer.stream()),
        };
        for delivery in deliveries {
            let Some(sent) = delivery.trace() else {
                continue;
            };
            let mut span = tracer
                .span_builder(format!("process {destination}"))
                .with_kind(SpanKind::Consumer)
                .with_start_time(since)
                .with_attributes(attributes("process", system, destination))
                .start_with_context(tracer, &sent);
            span.set_attribute(message_id(delivery.id));
            if dead.contains(&delivery.id) {
                span.set_attribute(KeyValue::new("error.type", "dead_letter"));
                span.set_status(Status::error("the ballot can never be stored"));
            }
            span.end();
        }
    }
}

impl Delivery {
    /// While this lives, what is logged belongs to the ballot's trace.
    #[must_use]
    pub fn enter_trace(&self) -> Option<ContextGuard> {
        traces::tracer()?;
        self.trace().map(Context::attach)
    }

    /// The part of its trace that led to it, if it has one that somebody looks at.
    fn trace(&self) -> Option<Context> {
        let sent = self.traceparent()?.span_context();
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
