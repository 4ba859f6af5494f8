//! The store in Postgres.

use std::{collections::HashSet, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use super::{DeadLetter, StoreConfig, StoreError, Tally, TimelinePoint, dead_letter};
use crate::ballot::CastBallot;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Filling the counts of a large table that the original app left may take its time.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(600);

/// A Postgres database. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    timeout: Duration,
}

impl PostgresStore {
    pub(super) fn new(options: PgConnectOptions, config: &StoreConfig) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.timeout)
            .connect_lazy_with(options);
        Self {
            pool,
            timeout: config.timeout,
        }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs one piece of work on a connection of the pool, within the time limit.
    ///
    /// A connection whose work did not end well is not given back: a frozen server would keep the next one waiting too,
    /// and the server's own statement timeout does not help when it is the server that is frozen.
    async fn with_connection<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut connection = timeout(limit, self.pool.acquire())
            .await
            .map_err(|_| StoreError::timeout(limit))??;
        let outcome = timeout(limit, work(&mut connection))
            .await
            .unwrap_or_else(|_| Err(StoreError::timeout(limit)));
        if outcome.is_err() {
            drop(connection.detach());
        }
        outcome
    }

    pub(super) async fn prepare(&self) -> Result<(), StoreError> {
        self.with_connection(MIGRATION_TIMEOUT, async |connection| {
            if !is_up_to_date(connection).await? {
                MIGRATIONS.run(connection).await?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn apply(
        &self,
        newest: &[&CastBallot],
        dead: &[DeadLetter],
    ) -> Result<u64, StoreError> {
        self.with_connection(self.timeout, async |connection| {
            let mut transaction = connection.begin().await?;
            let changed = if newest.is_empty() {
                0
            } else {
                upsert(&mut transaction, newest).await?
            };
            if !dead.is_empty() {
                insert_dead_letters(&mut transaction, dead).await?;
            }
            transaction.commit().await?;
            Ok(changed)
        })
        .await
    }

    pub(super) async fn tally(&self) -> Result<Tally, StoreError> {
        self.with_connection(self.timeout, async |connection| {
            let rows = sqlx::query_as(
                "SELECT option, votes, last_cast_ms FROM tally ORDER BY option COLLATE \"C\"",
            );
            Ok(Tally(rows.fetch_all(connection).await?))
        })
        .await
    }

    pub(super) async fn timeline(
        &self,
        from_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<TimelinePoint>, StoreError> {
        self.with_connection(self.timeout, async |connection| {
            let points = sqlx::query_as(
                "SELECT bucket / $2 * $2 AS bucket, option, sum(votes)::bigint AS votes FROM timeline
                 WHERE bucket >= $1 AND votes > 0 GROUP BY 1, 2 ORDER BY 1, 2",
            );
            Ok(points.bind(from_ms).bind(step_ms).fetch_all(connection).await?)
        })
        .await
    }

    pub(super) async fn timeline_extent(&self) -> Result<Option<(i64, i64)>, StoreError> {
        self.with_connection(self.timeout, async |connection| {
            let extent =
                sqlx::query_as("SELECT min(bucket), max(bucket) FROM timeline WHERE votes > 0");
            let (first, last): (Option<i64>, Option<i64>) = extent.fetch_one(connection).await?;
            Ok(first.zip(last))
        })
        .await
    }

    pub(super) async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.with_connection(self.timeout, async |connection| {
            let rows = sqlx::query_as("SELECT ballot, reason, payload FROM dead_letters")
                .fetch_all(connection)
                .await?;
            Ok(dead_letter::from_rows(rows))
        })
        .await
    }

    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        self.with_connection(self.timeout, async |connection| {
            Ok(connection.ping().await?)
        })
        .await
    }
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
async fn upsert(transaction: &mut PgConnection, newest: &[&CastBallot]) -> Result<u64, StoreError> {
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
    sqlx::query(
        "INSERT INTO dead_letters (ballot, reason, payload) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
         ON CONFLICT (ballot) DO NOTHING",
    )
    .bind(ids)
    .bind(reasons)
    .bind(payloads)
    .execute(transaction)
    .await?;
    Ok(())
}
