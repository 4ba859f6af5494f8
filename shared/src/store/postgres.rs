//! The store in Postgres.

use std::{collections::HashSet, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{
    DeadLetter, FORGET_REPORTS_AFTER, ProgressReport, StoreConfig, StoreError, StoreMetrics, Tally,
    TimelinePoint, WorkerProgress, dead_letter,
    progress::{self, ProgressRow},
};
use crate::ballot::CastBallot;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Filling the counts of a large table that the original app left may take its time.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);

/// A Postgres database. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    timeout: Duration,
    metrics: StoreMetrics,
}

impl PostgresStore {
    pub(super) fn new(
        options: PgConnectOptions,
        config: &StoreConfig,
        metrics: StoreMetrics,
    ) -> Self {
        let patience_ms = config.timeout.as_millis().to_string();
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.timeout)
            .after_connect(move |connection, _| {
                Box::pin(give_up_like_its_client(connection, patience_ms.clone()))
            })
            .connect_lazy_with(options);
        Self {
            pool,
            timeout: config.timeout,
            metrics,
        }
    }

    pub(super) fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) async fn lease(&self) -> Result<Lease, StoreError> {
        let waiting = self.metrics.waiting();
        let connection = self.pool.acquire().await?;
        drop(waiting);
        Ok(Lease(Some(connection)))
    }

    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        within(MIGRATION_TIMEOUT, async {
            let mut lease = self.lease().await?;
            if is_up_to_date(lease.connection()).await? {
                lease.give_back();
                return Ok(());
            }
            // Another process may be at it, however long that takes.
            sqlx::query("SET lock_timeout = 0")
                .execute(lease.connection())
                .await?;
            // `run` does the same, but its future cannot be proved to be Send.
            MIGRATIONS
                .run_direct(None, lease.connection(), false)
                .await?;
            Ok(())
        })
        .await
    }

    pub(super) async fn apply(
        &self,
        newest: &[&CastBallot],
        dead: &[DeadLetter],
    ) -> Result<u64, StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            let mut transaction = lease.connection().begin().await?;
            let changed = if newest.is_empty() {
                0
            } else {
                upsert(&mut transaction, newest).await?
            };
            if !dead.is_empty() {
                insert_dead_letters(&mut transaction, dead).await?;
            }
            transaction.commit().await?;
            lease.give_back();
            Ok(changed)
        })
        .await
    }

    pub(super) async fn tally(&self) -> Result<Tally, StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            let rows = sqlx::query_as(
                "SELECT option, votes, last_cast_ms FROM tally ORDER BY option COLLATE \"C\"",
            );
            let rows = rows.fetch_all(lease.connection()).await?;
            lease.give_back();
            Ok(Tally(rows))
        })
        .await
    }

    pub(super) async fn timeline(
        &self,
        from_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<TimelinePoint>, StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            let points = sqlx::query_as(
                "SELECT bucket / $2 * $2 AS bucket, option, sum(votes)::bigint AS votes FROM timeline
                 WHERE bucket >= $1 AND votes > 0 GROUP BY 1, 2 ORDER BY 1, 2",
            );
            let points = points.bind(from_ms).bind(step_ms).fetch_all(lease.connection()).await?;
            lease.give_back();
            Ok(points)
        })
        .await
    }

    pub(super) async fn timeline_extent(&self) -> Result<Option<(i64, i64)>, StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            let extent =
                sqlx::query_as("SELECT min(bucket), max(bucket) FROM timeline WHERE votes > 0");
            let (first, last): (Option<i64>, Option<i64>) =
                extent.fetch_one(lease.connection()).await?;
            lease.give_back();
            Ok(first.zip(last))
        })
        .await
    }

    pub(super) async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            let rows = sqlx::query_as(
                "SELECT ballot, reason, payload, floor(extract(epoch FROM received_at) * 1000)::bigint AS received_ms
                 FROM dead_letters",
            );
            let rows = rows.fetch_all(lease.connection()).await?;
            lease.give_back();
            Ok(dead_letter::from_rows(rows))
        })
        .await
    }

    pub(super) async fn report_progress(
        &self,
        progress: &WorkerProgress,
    ) -> Result<(), StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            // The clock of the server: workers on machines whose clocks differ are compared by it.
            let report = sqlx::query(
                "WITH forgotten AS (
                     DELETE FROM progress WHERE worker <> $1 AND reported_at < clock_timestamp() - $4 * interval '1 second'
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
                .bind(progress.oldest_waits_ms())
                .bind(FORGET_REPORTS_AFTER.as_secs_f64())
                .execute(lease.connection())
                .await?;
            lease.give_back();
            Ok(())
        })
        .await
    }

    pub(super) async fn progress(&self) -> Result<Vec<ProgressReport>, StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            let rows: Vec<ProgressRow> = sqlx::query_as(
                "SELECT floor(extract(epoch FROM reported_at) * 1000)::bigint AS reported_ms,
                     floor(extract(epoch FROM clock_timestamp() - reported_at) * 1000)::bigint AS age_ms, oldest_waits_ms
                 FROM progress",
            )
            .fetch_all(lease.connection())
            .await?;
            lease.give_back();
            Ok(progress::reports(&rows))
        })
        .await
    }

    pub(super) async fn probe_writes(&self) -> Result<(), StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            // Both for a standby and for `default_transaction_read_only`.
            let read_only: bool =
                sqlx::query_scalar("SELECT current_setting('transaction_read_only')::boolean")
                    .fetch_one(lease.connection())
                    .await?;
            if read_only {
                return Err(StoreError::read_only());
            }
            lease.give_back();
            Ok(())
        })
        .await
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        within(self.timeout, async {
            let mut lease = self.lease().await?;
            lease.connection().ping().await?;
            lease.give_back();
            Ok(())
        })
        .await
    }
}

pub(super) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::timeout(limit)))
}

/// A connection of the pool for one piece of work.
///
/// It goes back only after work that ended well. Otherwise it is closed: a frozen server would keep the next one
/// waiting on it too, and the server's own statement timeout does not help when it is the server that is frozen.
pub(super) struct Lease(Option<PoolConnection<Postgres>>);

impl Lease {
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.0
            .as_mut()
            .expect("a lease has its connection until it is given back")
    }

    pub(super) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

/// The server is as patient as its client. When the network loses a client in the middle of a transaction, nobody tells
/// the server: without this it would keep the counts locked, for hours, from every other worker.
async fn give_up_like_its_client(
    connection: &mut PgConnection,
    patience_ms: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT set_config('idle_in_transaction_session_timeout', $1, false),
                set_config('lock_timeout', $1, false)",
    )
    .bind(patience_ms)
    .execute(connection)
    .await
    .map(drop)
}

/// Looks before anything is written: a role that may only read can start on tables that are up to date.
async fn is_up_to_date(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(false);
    }
    let applied: Vec<i64> =
        sqlx::query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
            .fetch_all(connection)
            .await?;
    let known: HashSet<i64> = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .collect();
    if let Some(newer) = applied.iter().find(|version| !known.contains(version)) {
        let message = format!(
            "its tables were made by a newer version of this program: migration {newer} is unknown here"
        );
        return Err(StoreError::permanent(message));
    }
    Ok(applied.len() == known.len())
}

/// The guard keeps the newest vote in whatever order ballots arrive; triggers keep the counts in the same transaction.
pub(super) async fn upsert(
    transaction: &mut PgConnection,
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
    let done = sqlx::query(
        "INSERT INTO votes (id, vote, cast_ms, cast_seq)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
         ON CONFLICT (id) DO UPDATE
             SET vote = excluded.vote, cast_ms = excluded.cast_ms, cast_seq = excluded.cast_seq
             WHERE (excluded.cast_ms, excluded.cast_seq) > (votes.cast_ms, votes.cast_seq)",
    )
    .bind(voters)
    .bind(choices)
    .bind(ms)
    .bind(seq)
    .execute(transaction)
    .await?;
    Ok(done.rows_affected())
}

async fn insert_dead_letters(
    transaction: &mut PgConnection,
    dead: &[DeadLetter],
) -> Result<(), StoreError> {
    let ids: Vec<_> = dead.iter().map(|letter| letter.id.to_string()).collect();
    let reasons: Vec<_> = dead.iter().map(|letter| letter.reason.as_str()).collect();
    let payloads: Vec<_> = dead.iter().map(|letter| letter.payload.as_str()).collect();
    let received: Vec<_> = dead
        .iter()
        .map(|letter| letter.received_at.to_string())
        .collect();
    sqlx::query(
        "INSERT INTO dead_letters (ballot, reason, payload, received_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]::timestamptz[])
         ON CONFLICT (ballot) DO NOTHING",
    )
    .bind(ids)
    .bind(reasons)
    .bind(payloads)
    .bind(received)
    .execute(transaction)
    .await?;
    Ok(())
}
