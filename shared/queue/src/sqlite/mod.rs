//! The queue as a table of the embedded database.

mod consumer;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{QueueConfig, QueueError, stream_entry::fields_of};
pub use consumer::SqliteConsumer;
use embedded::{Database, error_message};
use poll::ballot::{Ballot, BallotId};

/// The table of ballots. Cloning is cheap.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    enqueue_timeout: Duration,
}

impl SqliteQueue {
    pub(super) fn new(database: Database, config: &QueueConfig) -> Self {
        Self {
            database,
            enqueue_timeout: config.enqueue_timeout,
        }
    }

    /// Inserts the ballots in one transaction. All of them get the same outcome, except for their ids.
    pub(super) async fn enqueue_all(
        &self,
        ballots: &[&Ballot],
    ) -> Vec<Result<BallotId, QueueError>> {
        if ballots.is_empty() {
            return Vec::new();
        }
        let rows = ballots.iter().map(|ballot| row(ballot)).collect();
        match self.insert(rows).await {
            Ok(first) => ids_from(first, ballots.len()).map(Ok).collect(),
            Err(error) => vec![Err(error); ballots.len()],
        }
    }

    async fn insert(&self, rows: Vec<Value>) -> Result<BallotId, QueueError> {
        // A task completes the transaction after a timeout, too: a transaction that is dropped costs its connection.
        let database = self.database.clone();
        let inserting = tokio::spawn(async move { insert(&database, rows).await });
        let inserted = timeout(self.enqueue_timeout, inserting)
            .await
            .map_err(|_| QueueError::Timeout(self.enqueue_timeout))?
            .map_err(|crash| QueueError::Unavailable(crash.to_string()))?;
        inserted.map_err(|error| classify(&error))
    }

    pub(super) async fn check_write(&self) -> Result<(), QueueError> {
        let probed = self.database.probe().await;
        probed.map_err(|error| classify(&error))
    }

    pub(super) fn ensure_file_in_place(&self) -> std::io::Result<()> {
        self.database.ensure_in_place()
    }

    pub(super) async fn checkpoint(&self) {
        self.database.checkpoint().await;
    }

    pub(super) async fn last_id(&self) -> Result<Option<BallotId>, QueueError> {
        let last = sqlx::query_as("SELECT ms, seq FROM ballots ORDER BY ms DESC, seq DESC LIMIT 1")
            .fetch_optional(self.database.readers());
        let last: Option<(i64, i64)> = last.await.map_err(|error| classify(&error))?;
        Ok(last.map(|(ms, seq)| id_of(ms, seq)))
    }

    pub(super) fn consumer(&self, name: &str) -> SqliteConsumer {
        SqliteConsumer::new(self.database.clone(), name)
    }
}

/// Returns the ballot's fields as a JSON object.
fn row(ballot: &Ballot) -> Value {
    let fields = fields_of(ballot).map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// Inserts rows in one transaction and returns the id of the first one; see [`ids_from`].
async fn insert(database: &Database, rows: Vec<Value>) -> Result<BallotId, sqlx::Error> {
    let mut write = database.write().await?;
    let (last_ms, last_seq): (i64, i64) = sqlx::query_as("SELECT ms, seq FROM last_ballot")
        .fetch_one(&mut *write)
        .await?;
    let now = now_ms();
    let (ms, seq) = if now > last_ms {
        (now, 0)
    } else {
        (last_ms, last_seq + 1)
    };
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO ballots (ms, seq, fields) SELECT ?1, ?2 + key, value FROM json_each(?3)",
    )
    .bind(ms)
    .bind(seq)
    .bind(json!(rows).to_string())
    .execute(&mut *write)
    .await?;
    sqlx::query("UPDATE last_ballot SET ms = ?1, seq = ?2")
        .bind(ms)
        .bind(seq + count - 1)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    Ok(id_of(ms, seq))
}

/// Returns the ids of a batch: they share the millisecond, and the sequence number counts up.
fn ids_from(first: BallotId, count: usize) -> impl Iterator<Item = BallotId> {
    let ids = (first.seq..).map(move |seq| BallotId { seq, ..first });
    ids.take(count)
}

/// Converts SQLite's signed integers, which are never negative here.
fn id_of(ms: i64, seq: i64) -> BallotId {
    BallotId {
        ms: ms.cast_unsigned(),
        seq: seq.cast_unsigned(),
    }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

fn classify(error: &sqlx::Error) -> QueueError {
    let message = error_message(error);
    match error {
        sqlx::Error::Database(_) => QueueError::Rejected(message),
        _ => QueueError::Unavailable(message),
    }
}
