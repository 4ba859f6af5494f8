//! The queue as a table of the embedded database.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sqlx::FromRow;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{Backlog, Claimed, QueueConfig, QueueError, StreamEntry, stream_entry::fields_of};
use embedded::{Database, message};
use poll::ballot::{Ballot, BallotId};
use service::probe::Check;

/// How many voters may wait for the next commit.
const WAITING: usize = 4096;
/// How many ballots one commit takes at most.
const COMMIT_AT_MOST: usize = 512;
/// How often an idle consumer looks for new ballots: SQLite does not tell other processes that there are some.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Processes that share the file share the clock, too, but read it one after the other.
const CLOCK_TOLERANCE_MS: i64 = 1000;

/// The table, as `vote` uses it.
#[derive(Clone)]
pub struct SqliteQueue {
    database: Database,
    waiting: mpsc::Sender<Waiting>,
    enqueue_timeout: Duration,
}

struct Waiting {
    fields: serde_json::Value,
    answer: oneshot::Sender<Result<BallotId, QueueError>>,
}

impl SqliteQueue {
    pub(super) fn new(database: Database, config: &QueueConfig) -> Self {
        let (waiting, waiters) = mpsc::channel(WAITING);
        tokio::spawn(commit_in_groups(database.clone(), waiters));
        Self {
            database,
            waiting,
            enqueue_timeout: config.enqueue_timeout,
        }
    }

    pub(super) async fn enqueue(&self, ballot: &Ballot) -> Result<BallotId, QueueError> {
        let fields = fields_of(ballot)
            .map(|(name, value)| (name.to_owned(), serde_json::Value::from(value)))
            .collect();
        let (answer, answered) = oneshot::channel();
        let queued = async {
            let gone = || QueueError::Unavailable("its writer has ended".into());
            self.waiting
                .send(Waiting { fields, answer })
                .await
                .map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        };
        timeout(self.enqueue_timeout, queued)
            .await
            .map_err(|_| QueueError::Timeout(self.enqueue_timeout))?
    }

    pub(super) async fn probe(&self) -> Result<(), QueueError> {
        let probed = self.database.probe().await;
        probed.map_err(|error| classify(&error))
    }

    pub(super) fn removed(&self) -> Option<Check> {
        self.database.removed("queue")
    }

    pub(super) async fn settle(&self) {
        self.database.settle().await;
    }

    pub(super) async fn last_id(&self) -> Result<Option<BallotId>, QueueError> {
        let newest =
            sqlx::query_as("SELECT ms, seq FROM ballots ORDER BY ms DESC, seq DESC LIMIT 1")
                .fetch_optional(self.database.readers());
        let newest: Option<(i64, i64)> = newest.await.map_err(|error| classify(&error))?;
        Ok(newest.map(|(ms, seq)| id_of(ms, seq)))
    }

    pub(super) fn consumer(&self, name: &str) -> SqliteConsumer {
        SqliteConsumer {
            database: self.database.clone(),
            name: name.to_owned(),
        }
    }
}

/// All who wait while one commit is on its way to the disk share the next one.
async fn commit_in_groups(database: Database, mut waiters: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(COMMIT_AT_MOST);
    while waiters.recv_many(&mut group, COMMIT_AT_MOST).await > 0 {
        let fields: Vec<_> = group.iter().map(|waiting| &waiting.fields).collect();
        match commit(&database, &fields).await {
            Ok(first) => {
                for (waiting, seq) in group.drain(..).zip(first.seq..) {
                    // Whoever gave up waiting has been told that the vote may count.
                    let _ = waiting.answer.send(Ok(BallotId { ms: first.ms, seq }));
                }
            }
            Err(error) => {
                let error = classify(&error);
                for waiting in group.drain(..) {
                    let _ = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// Writes ballots in one transaction. They get ids of one millisecond, counted up from the returned one.
async fn commit(
    database: &Database,
    fields: &[&serde_json::Value],
) -> Result<BallotId, sqlx::Error> {
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
    let count = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO ballots (ms, seq, fields) SELECT ?1, ?2 + key, value FROM json_each(?3)",
    )
    .bind(ms)
    .bind(seq)
    .bind(json!(fields).to_string())
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

/// One consumer of the table.
pub struct SqliteConsumer {
    database: Database,
    name: String,
}

#[derive(FromRow)]
struct Row {
    ms: i64,
    seq: i64,
    fields: String,
}

impl SqliteConsumer {
    pub(super) async fn read(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, QueueError> {
        let deadline = Instant::now() + wait;
        loop {
            let some: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM ballots WHERE consumer IS NULL)")
                    .fetch_one(self.database.readers())
                    .await
                    .map_err(|error| classify(&error))?;
            if some {
                return self.take(max).await.map_err(|error| classify(&error));
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            sleep(LOOK_EVERY.min(wait)).await;
        }
    }

    async fn take(&self, max: usize) -> Result<Vec<StreamEntry>, sqlx::Error> {
        let mut write = self.database.write().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "UPDATE ballots SET consumer = ?1, delivered_ms = ?2
             WHERE (ms, seq) IN (SELECT ms, seq FROM ballots WHERE consumer IS NULL ORDER BY ms, seq LIMIT ?3)
             RETURNING ms, seq, fields",
        )
        .bind(&self.name)
        .bind(now_ms())
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .fetch_all(&mut *write)
        .await?;
        write.commit().await?;
        Ok(deliveries(rows))
    }

    pub(super) async fn claim(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let deliveries = self
            .take_over(max, idle)
            .await
            .map_err(|error| classify(&error))?;
        Ok(Claimed {
            deliveries,
            deleted: Vec::new(),
        })
    }

    async fn take_over(&self, max: usize, idle: Duration) -> Result<Vec<StreamEntry>, sqlx::Error> {
        let now = now_ms();
        let silent_since = now.saturating_sub(i64::try_from(idle.as_millis()).unwrap_or(i64::MAX));
        // What was delivered in the future was so before the clock was set back. To take it over is safe.
        let future = now.saturating_add(CLOCK_TOLERANCE_MS);
        let some: bool =
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM ballots WHERE consumer IS NOT NULL AND (delivered_ms <= ?1 OR delivered_ms > ?2))",
            )
                .bind(silent_since)
                .bind(future)
                .fetch_one(self.database.readers())
                .await?;
        if !some {
            return Ok(Vec::new());
        }
        let mut write = self.database.write().await?;
        let rows: Vec<Row> = sqlx::query_as(
            "UPDATE ballots SET consumer = ?1, delivered_ms = ?2
             WHERE (ms, seq) IN (
                 SELECT ms, seq FROM ballots WHERE consumer IS NOT NULL AND (delivered_ms <= ?3 OR delivered_ms > ?5)
                 ORDER BY ms, seq LIMIT ?4)
             RETURNING ms, seq, fields",
        )
        .bind(&self.name)
        .bind(now)
        .bind(silent_since)
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .bind(future)
        .fetch_all(&mut *write)
        .await?;
        write.commit().await?;
        Ok(deliveries(rows))
    }

    pub(super) async fn restart_ids(&mut self, last: BallotId) -> Result<bool, QueueError> {
        let restart = async {
            let mut write = self.database.write().await?;
            let done = sqlx::query(
                "UPDATE last_ballot SET ms = 0, seq = 0
                 WHERE (ms, seq) = (?1, ?2) AND NOT EXISTS (SELECT 1 FROM ballots)",
            )
            .bind(last.ms.cast_signed())
            .bind(last.seq.cast_signed())
            .execute(&mut *write)
            .await?;
            write.commit().await?;
            Ok(done.rows_affected() > 0)
        };
        restart.await.map_err(|error: sqlx::Error| classify(&error))
    }

    pub(super) async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
        let ids: Vec<_> = ids.iter().map(|id| [id.ms, id.seq]).collect();
        let delete = async {
            let mut write = self.database.write().await?;
            sqlx::query("DELETE FROM ballots WHERE (ms, seq) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))")
                .bind(json!(ids).to_string())
                .execute(&mut *write)
                .await?;
            write.commit().await
        };
        delete.await.map_err(|error: sqlx::Error| classify(&error))
    }

    pub(super) async fn backlog(&mut self) -> Result<Backlog, QueueError> {
        let counts = sqlx::query_as("SELECT count(consumer), count(*) FROM ballots")
            .fetch_one(self.database.readers());
        let (pending, all): (i64, i64) = counts.await.map_err(|error| classify(&error))?;
        let oldest = sqlx::query_as("SELECT ms, seq FROM ballots ORDER BY ms, seq LIMIT 1")
            .fetch_optional(self.database.readers());
        let oldest: Option<(i64, i64)> = oldest.await.map_err(|error| classify(&error))?;
        let last =
            sqlx::query_as("SELECT ms, seq FROM last_ballot").fetch_one(self.database.readers());
        let (last_ms, last_seq): (i64, i64) = last.await.map_err(|error| classify(&error))?;
        Ok(Backlog {
            pending: pending.cast_unsigned(),
            lag: (all - pending).cast_unsigned(),
            oldest: oldest.map(|(ms, seq)| id_of(ms, seq)),
            last: id_of(last_ms, last_seq),
            added: None,
            removed: 0,
        })
    }
}

/// In the order of their ids: RETURNING promises none.
fn deliveries(rows: Vec<Row>) -> Vec<StreamEntry> {
    let mut deliveries: Vec<_> = rows
        .into_iter()
        .map(|row| StreamEntry::new(id_of(row.ms, row.seq), fields(&row.fields)))
        .collect();
    deliveries.sort_by_key(|delivery| delivery.id);
    deliveries
}

/// Only objects of strings are ever written here; whatever else a person put into the table becomes an entry without
/// the fields of a ballot, and so a dead letter.
fn fields(raw: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |value: serde_json::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match serde_json::from_str::<serde_json::Map<_, _>>(raw) {
        Ok(fields) => fields
            .into_iter()
            .map(|(name, value)| (name.into_bytes(), text(value).into_bytes()))
            .collect(),
        Err(_) => vec![(b"unreadable".to_vec(), raw.as_bytes().to_vec())],
    }
}

/// Ids are kept as SQLite's signed integers; none below zero is ever made.
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
    let message = message(error);
    match error {
        sqlx::Error::Database(_) => QueueError::Refused(message),
        _ => QueueError::Unavailable(message),
    }
}
