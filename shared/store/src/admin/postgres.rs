//! Administration of the store in Postgres.
//!
//! Every transaction here locks the table `votes` first, as those of the workers do, so deadlocks are impossible.

use std::time::Duration;

use futures_util::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use sqlx::{PgConnection, error::DatabaseError};

use super::{
    CLAMP_TALLY, CLAMP_VOTES, Comparison, Counts, Replayed, StoredVote, VoteRow,
    comparison::{COMPARE_TALLY, COMPARE_TIMELINE, RECOUNT},
    counts, existing, ids, outcome,
};
use crate::{
    StoreError, newest_per_voter,
    postgres::{
        PostgresStore, PostgresTransaction, query, query_as, query_scalar, upsert, with_timeout,
    },
};
use poll::ballot::CastBallot;

/// Timeout of a scan and of a fetch of rows. The first rows are available after the sort of all rows.
const ROWS_TIMEOUT: Duration = Duration::from_mins(10);
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl PostgresStore {
    pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let counted = count(transaction.connection()).await?;
            transaction.commit().await?;
            Ok(counted)
        })
        .await
    }

    pub(super) fn stored_votes(&self) -> BoxStream<'_, Result<StoredVote, StoreError>> {
        stream::once(self.open_votes())
            .map_ok(|cursor| stream::try_unfold(cursor, next_votes))
            .try_flatten()
            .map_ok(|votes| stream::iter(votes).map(Ok))
            .try_flatten()
            .boxed()
    }

    /// Opens a cursor over a snapshot of all votes.
    async fn open_votes(&self) -> Result<PostgresTransaction, StoreError> {
        with_timeout(ROWS_TIMEOUT, async {
            let mut transaction = self.begin().await?;
            // The reader of the votes may be slow.
            let open = "SET LOCAL idle_in_transaction_session_timeout = '10min';
                 DECLARE stored_votes NO SCROLL CURSOR FOR
                     SELECT id, vote, cast_ms, cast_seq FROM votes ORDER BY id COLLATE \"C\"";
            sqlx::raw_sql(open)
                .execute(transaction.connection())
                .await?;
            Ok(transaction)
        })
        .await
    }

    pub(super) async fn replay(&self, ballots: &[CastBallot]) -> Result<Replayed, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            // Locked before the dead letters are read. The first lock blocks a reset, the second another replay; workers
            // continue.
            sqlx::raw_sql(
                "LOCK TABLE votes IN ROW EXCLUSIVE MODE; LOCK TABLE dead_letters IN SHARE UPDATE EXCLUSIVE MODE",
            )
            .execute(transaction.connection())
            .await?;
            let letters: Vec<String> =
                query_scalar("SELECT ballot FROM dead_letters WHERE ballot = ANY($1)")
                    .bind(ids(ballots))
                    .fetch_all(transaction.connection())
                    .await?;
            let replayed = existing(ballots, &letters.into_iter().collect());
            let changed = upsert(transaction.connection(), &newest_per_voter(&replayed)).await?;
            query("DELETE FROM dead_letters WHERE ballot = ANY($1)")
            .bind(ids(&replayed))
            .execute(transaction.connection())
            .await?;
            transaction.commit().await?;
            Ok(outcome(ballots, &replayed, changed))
        })
        .await
    }

    pub(super) async fn compare_counts(&self) -> Result<Comparison, StoreError> {
        with_timeout(ROWS_TIMEOUT, async {
            let mut transaction = self.begin().await?;
            // Both queries need the same snapshot.
            sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                .execute(transaction.connection())
                .await?;
            let compared = compare(transaction.connection()).await?;
            transaction.commit().await?;
            Ok(compared)
        })
        .await
    }

    pub(super) async fn recount(&self) -> Result<Comparison, StoreError> {
        with_timeout(ROWS_TIMEOUT, async {
            let mut transaction = self.begin().await?;
            // Blocks writers; readers continue.
            lock(
                transaction.connection(),
                "LOCK TABLE votes IN SHARE ROW EXCLUSIVE MODE",
            )
            .await?;
            let compared = compare(transaction.connection()).await?;
            sqlx::raw_sql("SET LOCAL voting_app.recount = 'on'")
                .execute(transaction.connection())
                .await?;
            sqlx::raw_sql(RECOUNT)
                .execute(transaction.connection())
                .await?;
            sqlx::raw_sql("NOTIFY tally_changed")
                .execute(transaction.connection())
                .await?;
            transaction.commit().await?;
            Ok(compared)
        })
        .await
    }

    pub(super) async fn clamp_cast_times(&self, latest_ms: i64) -> Result<u64, StoreError> {
        with_timeout(ROWS_TIMEOUT, async {
            let mut transaction = self.begin().await?;
            let done = query(CLAMP_VOTES)
                .bind(latest_ms)
                .execute(transaction.connection())
                .await?;
            query(CLAMP_TALLY)
                .bind(latest_ms)
                .execute(transaction.connection())
                .await?;
            transaction.commit().await?;
            Ok(done.rows_affected())
        })
        .await
    }

    pub(super) async fn reset(&self) -> Result<Counts, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            // Waits for the workers' transactions and blocks new ones: the counts have no other writer then.
            lock(
                transaction.connection(),
                "LOCK TABLE votes IN ACCESS EXCLUSIVE MODE",
            )
            .await?;
            let deleted = count(transaction.connection()).await?;
            // Its trigger empties the counts and notifies readers. A DELETE would copy every vote for its trigger.
            query("TRUNCATE votes")
                .execute(transaction.connection())
                .await?;
            query("DELETE FROM dead_letters")
                .execute(transaction.connection())
                .await?;
            transaction.commit().await?;
            Ok(deleted)
        })
        .await
    }
}

/// Fetches the next votes of the cursor; `None` at the end.
async fn next_votes(
    mut transaction: PostgresTransaction,
) -> Result<Option<(Vec<StoredVote>, PostgresTransaction)>, StoreError> {
    with_timeout(ROWS_TIMEOUT, async {
        let rows: Vec<VoteRow> = query_as("FETCH 1000 FROM stored_votes")
            .fetch_all(transaction.connection())
            .await?;
        if rows.is_empty() {
            transaction.commit().await?;
            return Ok(None);
        }
        let votes = rows.into_iter().map(StoredVote::from).collect();
        Ok(Some((votes, transaction)))
    })
    .await
}

/// Locks with a short timeout: while this waits for a reader of the votes, the workers wait behind it.
async fn lock(connection: &mut PgConnection, statement: &'static str) -> Result<(), StoreError> {
    query("SET LOCAL lock_timeout = '2s'")
        .execute(&mut *connection)
        .await?;
    let locked = query(statement).execute(connection);
    locked.await.map_err(|error| {
        let code = error.as_database_error().and_then(DatabaseError::code);
        if code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
            return StoreError::transient(
                "the votes are in use, perhaps by an export; try again after its end",
            );
        }
        error.into()
    })?;
    Ok(())
}

async fn compare(connection: &mut PgConnection) -> Result<Comparison, StoreError> {
    let options = query_as(COMPARE_TALLY).fetch_all(&mut *connection).await?;
    let steps: i64 = query_scalar(COMPARE_TIMELINE).fetch_one(connection).await?;
    Ok(Comparison {
        options,
        timeline_steps: steps.unsigned_abs(),
    })
}

async fn count(connection: &mut PgConnection) -> Result<Counts, StoreError> {
    let counted = query_as(
        "SELECT (SELECT coalesce(sum(votes), 0)::bigint FROM tally), (SELECT count(*) FROM dead_letters)",
    );
    Ok(counts(counted.fetch_one(connection).await?))
}
