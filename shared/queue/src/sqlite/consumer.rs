//! Consumer of the table of ballots.

use std::time::Duration;

use serde_json::json;
use sqlx::FromRow;
use tokio::time::{Instant, sleep};

use super::{classify, id_of, now_ms};
use crate::{Backlog, Claimed, QueueError, StreamEntry};
use embedded::Database;
use poll::ballot::BallotId;

/// Interval at which an idle consumer polls for new ballots: SQLite does not notify other processes.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Tolerance for reads of the clock by different processes: they share one clock but read it at different times.
const CLOCK_TOLERANCE_MS: i64 = 1000;

/// A consumer of the table of ballots.
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
    pub(super) fn new(database: Database, name: &str) -> Self {
        Self {
            database,
            name: name.to_owned(),
        }
    }

    pub(crate) async fn read(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, QueueError> {
        let deadline = Instant::now() + wait;
        loop {
            let exists: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM ballots WHERE consumer IS NULL)")
                    .fetch_one(self.database.readers())
                    .await
                    .map_err(|error| classify(&error))?;
            if exists {
                return self
                    .read_undelivered(max)
                    .await
                    .map_err(|error| classify(&error));
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            sleep(POLL_INTERVAL.min(wait)).await;
        }
    }

    async fn read_undelivered(&self, max: usize) -> Result<Vec<StreamEntry>, sqlx::Error> {
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
        Ok(entries(rows))
    }

    pub(crate) async fn claim(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let entries = self
            .claim_idle(max, idle)
            .await
            .map_err(|error| classify(&error))?;
        Ok(Claimed {
            entries,
            deleted: Vec::new(),
        })
    }

    async fn claim_idle(
        &self,
        max: usize,
        idle: Duration,
    ) -> Result<Vec<StreamEntry>, sqlx::Error> {
        let now = now_ms();
        let idle_since = now.saturating_sub(i64::try_from(idle.as_millis()).unwrap_or(i64::MAX));
        // A delivery time in the future means that the clock was set back since. Claiming such an entry is safe.
        let future = now.saturating_add(CLOCK_TOLERANCE_MS);
        let exists: bool =
            sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM ballots WHERE consumer IS NOT NULL AND (delivered_ms <= ?1 OR delivered_ms > ?2))",
            )
                .bind(idle_since)
                .bind(future)
                .fetch_one(self.database.readers())
                .await?;
        if !exists {
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
        .bind(idle_since)
        .bind(i64::try_from(max).unwrap_or(i64::MAX))
        .bind(future)
        .fetch_all(&mut *write)
        .await?;
        write.commit().await?;
        Ok(entries(rows))
    }

    pub(crate) async fn restart_ids(&mut self, last: BallotId) -> Result<bool, QueueError> {
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

    pub(crate) async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
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

    pub(crate) async fn backlog(&mut self) -> Result<Backlog, QueueError> {
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

/// Returns the rows as entries in the order of their ids: RETURNING guarantees no order.
fn entries(rows: Vec<Row>) -> Vec<StreamEntry> {
    let mut entries: Vec<_> = rows
        .into_iter()
        .map(|row| StreamEntry::new(id_of(row.ms, row.seq), fields(&row.fields)))
        .collect();
    entries.sort_by_key(|entry| entry.id);
    entries
}

/// Parses the fields of a row. This program writes objects of strings only. Anything else was written by hand: it becomes
/// an entry without a ballot's fields and so a dead letter.
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
