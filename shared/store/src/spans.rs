//! Trace spans of storing ballots. Names follow the OpenTelemetry conventions for databases
//! (<https://opentelemetry.io/docs/specs/semconv/db/database-spans/>). They contain no statements and no values.

use tracing::{Instrument, Span, field::Empty, info_span};

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
        let span = self.insert_span(ballots);
        let outcome = work.instrument(span.clone()).await;
        if let Err(error) = &outcome {
            traces::record_error(&span, error.class.label(), error);
        }
        outcome
    }

    fn insert_span(&self, ballots: usize) -> Span {
        const TABLE: &str = "votes";
        if !traces::is_recording() {
            return Span::none();
        }
        let is_batch = ballots > 1;
        let operation = if is_batch { "BATCH INSERT" } else { "INSERT" };
        let batch_size = is_batch.then(|| i64::try_from(ballots).unwrap_or(i64::MAX));
        info_span!(
            target: traces::TARGET,
            "insert",
            otel.name = format!("{operation} {TABLE}"),
            otel.kind = "client",
            otel.status_description = Empty,
            db.system.name = self.system,
            db.namespace = self.namespace,
            db.collection.name = TABLE,
            db.operation.name = operation,
            db.operation.batch.size = batch_size,
            "error.type" = Empty,
        )
    }
}
