//! The store in the embedded database.

use jiff::Timestamp;
use serde_json::json;
use sqlx::{Sqlite, SqliteConnection, pool::PoolConnection};

use super::{
    DeadLetter, LAST_CAST_MS, ProgressReport, REPORT_RETENTION, StoreError, StoreMetrics, Tally,
    TimelinePoint, WorkerProgress, dead_letter,
    progress::{self, ProgressRow},
    recorded_poll::{self, RecordedPoll, SELECT_POLLS, UPSERT_POLL},
};
use embedded::{Database, WriteTransaction};
use poll::{Poll, PollId, ballot::CastBallot};

/// The store's tables in the embedded database. Cloning is cheap.
#[derive(Clone)]
pub struct SqliteStore {
    database: Database,
    metrics: StoreMetrics,
}

impl SqliteStore {
    pub(super) fn new(database: Database, metrics: StoreMetrics) -> Self {
        Self { database, metrics }
    }

    pub(super) fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    pub(super) async fn reader(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        let _timer = self.metrics.start_wait_timer();
        self.database.readers().acquire().await
    }

    pub(super) async fn write(&self) -> Result<WriteTransaction, sqlx::Error> {
        let _timer = self.metrics.start_wait_timer();
        self.database.write().await
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) async fn upsert_ballots(
        &self,
        newest: &[&CastBallot],
        dead: &[DeadLetter],
    ) -> Result<u64, StoreError> {
        let mut write = self.write().await?;
        let changed = upsert(&mut write, newest).await?;
        if !dead.is_empty() {
            insert_dead_letters(&mut write, dead).await?;
        }
        write.commit().await?;
        Ok(changed)
    }

    pub(super) async fn tally(&self, poll: &PollId) -> Result<Tally, StoreError> {
        let rows = sqlx::query_as(
            "SELECT option, votes, last_cast_ms FROM tally WHERE poll = ?1 ORDER BY option",
        );
        let rows = rows.bind(poll.as_str());
        Ok(Tally(rows.fetch_all(&mut *self.reader().await?).await?))
    }

    pub(super) async fn last_cast_ms(&self) -> Result<i64, StoreError> {
        let newest = sqlx::query_scalar(LAST_CAST_MS);
        Ok(newest.fetch_one(&mut *self.reader().await?).await?)
    }

    pub(super) async fn record_poll(&self, poll: &Poll) -> Result<(), StoreError> {
        let row = recorded_poll::Row::from(poll);
        let mut write = self.write().await?;
        sqlx::query(UPSERT_POLL)
            .bind(row.id)
            .bind(row.question)
            .bind(row.options)
            .bind(row.opens_at_ms)
            .bind(row.closes_at_ms)
            .bind(row.results)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(())
    }

    pub(super) async fn polls(&self, id: &str) -> Result<Vec<RecordedPoll>, StoreError> {
        let rows = sqlx::query_as(SELECT_POLLS).bind(id);
        let rows = rows.fetch_all(&mut *self.reader().await?).await?;
        Ok(recorded_poll::from_rows(rows))
    }

    pub(super) async fn timeline(
        &self,
        poll: &PollId,
        from_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<TimelinePoint>, StoreError> {
        let points = sqlx::query_as(
            "SELECT bucket / ?2 * ?2 AS bucket, option, sum(votes) AS votes FROM timeline
             WHERE poll = ?3 AND bucket >= ?1 AND votes > 0 GROUP BY 1, 2 ORDER BY 1, 2",
        );
        Ok(points
            .bind(from_ms)
            .bind(step_ms)
            .bind(poll.as_str())
            .fetch_all(&mut *self.reader().await?)
            .await?)
    }

    pub(super) async fn timeline_extent(
        &self,
        poll: &PollId,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let extent = sqlx::query_as(
            "SELECT min(bucket), max(bucket) FROM timeline WHERE poll = ?1 AND votes > 0",
        );
        let extent = extent.bind(poll.as_str());
        let (first, last): (Option<i64>, Option<i64>) =
            extent.fetch_one(&mut *self.reader().await?).await?;
        Ok(first.zip(last))
    }

    pub(super) async fn dead_letters(
        &self,
        only_countable: bool,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        // unixepoch has whole seconds or a rounded fraction; julianday is exact to the millisecond.
        let rows = sqlx::query_as(
            "SELECT ballot, poll, reason, waits_for_poll, payload,
                 coalesce(CAST(round((julianday(received_at) - 2440587.5) * 86400000) AS INTEGER), 0) AS received_ms
             FROM dead_letters
             WHERE NOT ?1 OR (waits_for_poll AND poll IN (SELECT id FROM polls))",
        );
        let rows = rows
            .bind(only_countable)
            .fetch_all(&mut *self.reader().await?)
            .await?;
        Ok(dead_letter::from_rows(rows))
    }

    pub(super) async fn report_progress(
        &self,
        progress: &WorkerProgress,
    ) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        sqlx::query("DELETE FROM progress WHERE worker <> ?1 AND abs(?2 - reported_ms) > ?3")
            .bind(&progress.worker)
            .bind(now_ms())
            .bind(i64::try_from(REPORT_RETENTION.as_millis()).unwrap_or(i64::MAX))
            .execute(&mut *write)
            .await?;
        sqlx::query(
            "INSERT INTO progress (worker, reported_ms, last_batch_ms, oldest_waits_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (worker) DO UPDATE
                 SET reported_ms = excluded.reported_ms, last_batch_ms = excluded.last_batch_ms,
                     oldest_waits_ms = excluded.oldest_waits_ms",
        )
        .bind(&progress.worker)
        .bind(now_ms())
        .bind(progress.last_batch_ms())
        .bind(progress.oldest_ballot_age_ms())
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(())
    }

    pub(super) async fn progress(&self) -> Result<Vec<ProgressReport>, StoreError> {
        let rows: Vec<ProgressRow> = sqlx::query_as(
            "SELECT reported_ms, ?1 - reported_ms AS age_ms, oldest_waits_ms FROM progress",
        )
        .bind(now_ms())
        .fetch_all(&mut *self.reader().await?)
        .await?;
        Ok(progress::reports(&rows))
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.database.ensure_in_place().map_err(sqlx::Error::from)?;
        let count = sqlx::query("SELECT count(votes) FROM tally");
        count.fetch_one(&mut *self.reader().await?).await?;
        Ok(())
    }

    pub(super) async fn probe_writes(&self) -> Result<(), StoreError> {
        self.probe().await?;
        Ok(self.database.probe().await?)
    }

    /// Upserts a ballot and rolls back.
    pub(super) async fn try_upsert(&self, ballot: &CastBallot) -> Result<(), StoreError> {
        let mut write = self.write().await?;
        upsert(&mut write, &[ballot]).await.map(drop)
    }
}

/// Returns the time by the clock of the machine, which all processes with the file share.
fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Upserts votes. The WHERE clause keeps the vote with the greatest id, regardless of the order of arrival; triggers update
/// the counts in the same transaction.
pub(super) async fn upsert(
    write: &mut SqliteConnection,
    newest: &[&CastBallot],
) -> Result<u64, StoreError> {
    let row = |cast: &&CastBallot| {
        json!([
            cast.ballot.voter.to_string(),
            cast.ballot.choice,
            cast.ballot.poll,
            cast.id.ms,
            cast.id.seq
        ])
    };
    let rows: Vec<_> = newest.iter().map(row).collect();
    // Without WHERE true SQLite would parse ON as part of a join.
    let done = sqlx::query(
        "INSERT INTO votes (id, vote, poll, cast_ms, cast_seq)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?1) WHERE true
         ON CONFLICT (id) DO UPDATE
             SET vote = excluded.vote, poll = excluded.poll, cast_ms = excluded.cast_ms, cast_seq = excluded.cast_seq
             WHERE (excluded.cast_ms, excluded.cast_seq) > (votes.cast_ms, votes.cast_seq)",
    )
    .bind(json!(rows).to_string())
    .execute(write)
    .await?;
    Ok(done.rows_affected())
}

async fn insert_dead_letters(
    write: &mut SqliteConnection,
    dead: &[DeadLetter],
) -> Result<(), StoreError> {
    let row = |letter: &DeadLetter| {
        json!([
            letter.id.to_string(),
            letter.poll,
            letter.reason,
            letter.waits_for_poll,
            letter.payload,
            letter.received_at.to_string()
        ])
    };
    let rows: Vec<_> = dead.iter().map(row).collect();
    sqlx::query(
        "INSERT INTO dead_letters (ballot, poll, reason, waits_for_poll, payload, received_at)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 FROM json_each(?1) WHERE true
         ON CONFLICT (ballot) DO NOTHING",
    )
    .bind(json!(rows).to_string())
    .execute(write)
    .await?;
    Ok(())
}
