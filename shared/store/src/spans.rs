//! Trace spans of storing ballots. Names follow the OpenTelemetry conventions for databases
//! (<https://opentelemetry.io/docs/specs/semconv/db/database-spans/>). They contain no statements and no values.

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, TraceContextExt, Tracer},
};

use super::{StoreError, StoreUrl};
use telemetry::traces;

/// Name of the database in spans.
#[derive(Clone, Debug)]
pub(super) struct DatabaseName {
    system: &'static str,
    namespace: Option<String>,
}

impl DatabaseName {
    pub(super) fn of(url: &StoreUrl) -> Self {
        match url {
            StoreUrl::Sqlite(_) => Self {
                system: "sqlite",
                namespace: None,
            },
            StoreUrl::Postgres(options) => Self {
                system: "postgresql",
                namespace: options.get_database().map(str::to_owned),
            },
        }
    }

    /// Runs the insertion of ballots in a span if the current trace is sampled.
    pub(super) async fn insert<T>(
        &self,
        ballots: usize,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let span = self.begin(ballots);
        let outcome = traces::in_context(span.as_ref(), work).await;
        if let Some(context) = span {
            let failure = outcome.as_ref().err();
            traces::end(
                &context,
                failure.map(|error| (error.class.label(), error.to_string())),
            );
        }
        outcome
    }

    fn begin(&self, ballots: usize) -> Option<Context> {
        const TABLE: &str = "votes";
        let tracer = traces::tracer()?;
        let parent = Context::current();
        if !parent.span().is_recording() {
            return None;
        }
        let is_batch = ballots > 1;
        let operation = if is_batch { "BATCH INSERT" } else { "INSERT" };
        let mut attributes = vec![
            KeyValue::new("db.system.name", self.system),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.collection.name", TABLE),
        ];
        if is_batch {
            let count = i64::try_from(ballots).unwrap_or(i64::MAX);
            attributes.push(KeyValue::new("db.operation.batch.size", count));
        }
        if let Some(namespace) = &self.namespace {
            attributes.push(KeyValue::new("db.namespace", namespace.clone()));
        }
        let span = tracer
            .span_builder(format!("{operation} {TABLE}"))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
            .start_with_context(tracer, &parent);
        Some(parent.with_span(span))
    }
}
