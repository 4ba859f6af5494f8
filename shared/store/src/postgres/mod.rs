//! The store in Postgres.

mod migrate;
mod session;

use std::time::Duration;

use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};

use super::{
    DeadLetter, LAST_CAST_MS, ProgressReport, REPORT_RETENTION, StoreConfig, StoreError,
    StoreMetrics, Tally, TimelinePoint, WorkerProgress, dead_letter,
    progress::{self, ProgressRow},
    recorded_poll::{self, RecordedPoll, SELECT_POLLS, UPSERT_POLL},
};
use poll::{Poll, PollId, ballot::CastBallot};
use session::Sessions;
pub(super) use session::{PostgresTransaction, query, query_as, query_scalar, with_timeout};

/// Timeout of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);

/// A Postgres database. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct PostgresStore(Sessions);

impl PostgresStore {
    pub(super) fn new(
        options: PgConnectOptions,
        config: &StoreConfig,
        metrics: StoreMetrics,
    ) -> Self {
        Self(Sessions::new(options, config, metrics))
    }

    pub(super) fn metrics(&self) -> &StoreMetrics {
        self.0.metrics()
    }

    pub(super) fn pool(&self) -> &PgPool {
        self.0.pool()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout()
    }

    pub(super) async fn begin(&self) -> Result<PostgresTransaction, StoreError> {
        self.0.begin().await
    }

    pub(super) async fn migrate(&self, settings_poll: &PollId) -> Result<(), StoreError> {
        migrate::migrate(&self.0, settings_poll).await
    }

    pub(super) async fn upsert_ballots(
        &self,
        newest: &[&CastBallot],
        dead: &[DeadLetter],
    ) -> Result<u64, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let changed = upsert(transaction.connection(), newest).await?;
            if !dead.is_empty() {
                insert_dead_letters(transaction.connection(), dead).await?;
            }
            transaction.commit().await?;
            Ok(changed)
        })
        .await
    }

    pub(super) async fn tally(&self, poll: &PollId) -> Result<Tally, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let rows = query_as(
                "SELECT option, votes, last_cast_ms FROM tally WHERE poll = $1 ORDER BY option COLLATE \"C\"",
            );
            let rows = rows.bind(poll.as_str()).fetch_all(transaction.connection()).await?;
            transaction.commit().await?;
            Ok(Tally(rows))
        })
        .await
    }

    pub(super) async fn last_cast_ms(&self) -> Result<i64, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let newest = query_scalar(LAST_CAST_MS)
                .fetch_one(transaction.connection())
                .await?;
            transaction.commit().await?;
            Ok(newest)
        })
        .await
    }

    pub(super) async fn record_poll(&self, poll: &Poll) -> Result<(), StoreError> {
        with_timeout(self.timeout(), async {
            let row = recorded_poll::Row::from(poll);
            let mut transaction = self.begin().await?;
            query(UPSERT_POLL)
                .bind(row.id)
                .bind(row.question)
                .bind(row.options)
                .bind(row.opens_at_ms)
                .bind(row.closes_at_ms)
                .bind(row.results)
                .execute(transaction.connection())
                .await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    pub(super) async fn polls(&self, id: &str) -> Result<Vec<RecordedPoll>, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let rows = query_as(SELECT_POLLS).bind(id);
            let rows = rows.fetch_all(transaction.connection());
            let rows = rows.await?;
            transaction.commit().await?;
            Ok(recorded_poll::from_rows(rows))
        })
        .await
    }

    pub(super) async fn timeline(
        &self,
        poll: &PollId,
        from_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<TimelinePoint>, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let points = query_as(
                "SELECT bucket / $2 * $2 AS bucket, option, sum(votes)::bigint AS votes FROM timeline
                 WHERE poll = $3 AND bucket >= $1 AND votes > 0 GROUP BY 1, 2 ORDER BY 1, 2",
            );
            let points = points.bind(from_ms).bind(step_ms).bind(poll.as_str());
            let points = points.fetch_all(transaction.connection()).await?;
            transaction.commit().await?;
            Ok(points)
        })
        .await
    }

    pub(super) async fn timeline_extent(
        &self,
        poll: &PollId,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let extent = query_as(
                "SELECT min(bucket), max(bucket) FROM timeline WHERE poll = $1 AND votes > 0",
            );
            let extent = extent.bind(poll.as_str());
            let (first, last): (Option<i64>, Option<i64>) =
                extent.fetch_one(transaction.connection()).await?;
            transaction.commit().await?;
            Ok(first.zip(last))
        })
        .await
    }

    pub(super) async fn dead_letters(
        &self,
        only_countable: bool,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let rows = query_as(
                "SELECT ballot, poll, reason, waits_for_poll, payload,
                     CASE WHEN isfinite(received_at) THEN floor(extract(epoch FROM received_at) * 1000)::bigint ELSE 0 END
                         AS received_ms
                 FROM dead_letters
                 WHERE NOT $1 OR (waits_for_poll AND poll IN (SELECT id FROM polls))",
            );
            let rows = rows.bind(only_countable).fetch_all(transaction.connection()).await?;
            transaction.commit().await?;
            Ok(dead_letter::from_rows(rows))
        })
        .await
    }

    pub(super) async fn report_progress(
        &self,
        progress: &WorkerProgress,
    ) -> Result<(), StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            // The server's clock is the same for all workers, whose machines' clocks may differ.
            let report = query(
                "WITH forgotten AS (
                     DELETE FROM progress
                     WHERE worker <> $1 AND abs(extract(epoch FROM clock_timestamp() - reported_at)) > $4
                 )
                 INSERT INTO progress (worker, reported_at, last_batch_at, oldest_waits_ms)
                 VALUES ($1, clock_timestamp(), to_timestamp($2 / 1000.0), $3)
                 ON CONFLICT (worker) DO UPDATE
                     SET reported_at = excluded.reported_at, last_batch_at = excluded.last_batch_at,
                         oldest_waits_ms = excluded.oldest_waits_ms",
            );
            report
                .bind(&progress.worker)
                .bind(progress.last_batch_ms())
                .bind(progress.oldest_ballot_age_ms())
                .bind(REPORT_RETENTION.as_secs_f64())
                .execute(transaction.connection())
                .await?;
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    pub(super) async fn progress(&self) -> Result<Vec<ProgressReport>, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let rows: Vec<ProgressRow> = query_as(
                "SELECT floor(extract(epoch FROM reported_at) * 1000)::bigint AS reported_ms,
                     floor(extract(epoch FROM clock_timestamp() - reported_at) * 1000)::bigint AS age_ms, oldest_waits_ms
                 FROM progress",
            )
            .fetch_all(transaction.connection())
            .await?;
            transaction.commit().await?;
            Ok(progress::reports(&rows))
        })
        .await
    }

    /// Upserts a ballot and rolls back.
    pub(super) async fn try_upsert(&self, ballot: &CastBallot) -> Result<(), StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            upsert(transaction.connection(), &[ballot]).await?;
            transaction.roll_back().await
        })
        .await
    }

    /// Stores an empty batch, which also writes to the server's write-ahead log.
    pub(super) async fn probe_writes(&self, is_migrated: bool) -> Result<(), StoreError> {
        let statements = if is_migrated {
            STORE_EMPTY_BATCH
        } else {
            "SELECT 1"
        };
        with_timeout(PROBE_TIMEOUT, self.0.run(statements)).await
    }

    pub(super) async fn probe(&self, is_migrated: bool) -> Result<(), StoreError> {
        let statement = if is_migrated {
            "SELECT count(votes) FROM tally"
        } else {
            "SELECT 1"
        };
        with_timeout(PROBE_TIMEOUT, self.0.run(statement)).await
    }
}

/// Statements in one message. The commit does not wait for the disk.
const STORE_EMPTY_BATCH: &str = "
    BEGIN;
    SET LOCAL lock_timeout = 800;
    SET LOCAL synchronous_commit = off;
    INSERT INTO votes AS v (id, vote, poll, cast_ms, cast_seq) SELECT '', '', '', 0, 0 WHERE false
        ON CONFLICT (id) DO UPDATE
        SET vote = excluded.vote, poll = excluded.poll, cast_ms = excluded.cast_ms, cast_seq = excluded.cast_seq
        WHERE (excluded.cast_ms, excluded.cast_seq) > (v.cast_ms, v.cast_seq);
    INSERT INTO dead_letters (ballot, poll, reason, waits_for_poll, payload, received_at)
        SELECT '', NULL, '', false, '', now() WHERE false
        ON CONFLICT (ballot) DO NOTHING;
    SELECT txid_current();
    COMMIT";

/// Upserts votes. The WHERE clause keeps the vote with the greatest id, regardless of the order of arrival; triggers update
/// the counts in the same transaction.
pub(super) async fn upsert(
    transaction: &mut PgConnection,
    newest: &[&CastBallot],
) -> Result<u64, StoreError> {
    let mut changed = 0;
    // A batch has ballots in one poll, except in the moment when another poll begins.
    for in_poll in newest.chunk_by(|one, next| one.ballot.poll == next.ballot.poll) {
        changed += upsert_in_poll(&mut *transaction, &in_poll[0].ballot.poll, in_poll).await?;
    }
    Ok(changed)
}

async fn upsert_in_poll(
    transaction: &mut PgConnection,
    poll: &PollId,
    newest: &[&CastBallot],
) -> Result<u64, StoreError> {
    let voters: Vec<_> = newest
        .iter()
        .map(|cast| cast.ballot.voter.to_string())
        .collect();
    let choices: Vec<_> = newest
        .iter()
        .map(|cast| cast.ballot.choice.as_str())
        .collect();
    let ms: Vec<_> = newest.iter().map(|cast| cast.id.ms.cast_signed()).collect();
    let seq: Vec<_> = newest
        .iter()
        .map(|cast| cast.id.seq.cast_signed())
        .collect();
    let done = query(
        "INSERT INTO votes (id, vote, poll, cast_ms, cast_seq)
         SELECT id, vote, $5, ms, seq
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS ballots (id, vote, ms, seq)
         ON CONFLICT (id) DO UPDATE
             SET vote = excluded.vote, poll = excluded.poll, cast_ms = excluded.cast_ms, cast_seq = excluded.cast_seq
             WHERE (excluded.cast_ms, excluded.cast_seq) > (votes.cast_ms, votes.cast_seq)",
    )
    .bind(voters)
    .bind(choices)
    .bind(ms)
    .bind(seq)
    .bind(poll.as_str())
    .execute(transaction)
    .await?;
    Ok(done.rows_affected())
}

async fn insert_dead_letters(
    transaction: &mut PgConnection,
    dead: &[DeadLetter],
) -> Result<(), StoreError> {
    let ids: Vec<_> = dead.iter().map(|letter| letter.id.to_string()).collect();
    let polls: Vec<_> = dead
        .iter()
        .map(|letter| letter.poll.as_ref().map(PollId::as_str))
        .collect();
    let waits: Vec<_> = dead.iter().map(|letter| letter.waits_for_poll).collect();
    let reasons: Vec<_> = dead.iter().map(|letter| letter.reason.as_str()).collect();
    let payloads: Vec<_> = dead.iter().map(|letter| letter.payload.as_str()).collect();
    let received: Vec<_> = dead
        .iter()
        .map(|letter| letter.received_at.to_string())
        .collect();
    query(
        "INSERT INTO dead_letters (ballot, poll, reason, waits_for_poll, payload, received_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[]::timestamptz[])
         ON CONFLICT (ballot) DO NOTHING",
    )
    .bind(ids)
    .bind(polls)
    .bind(reasons)
    .bind(waits)
    .bind(payloads)
    .bind(received)
    .execute(transaction)
    .await?;
    Ok(())
}
