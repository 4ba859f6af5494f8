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
    ALL_COUNTS, CLAMP_TALLY, CLAMP_VOTES, Comparison, Counts, POLL_COUNTS, REJECT_WAITING,
    Replayed, StoredVote, VoteRow,
    comparison::{COMPARE_TALLY, COMPARE_TIMELINE, RECOUNT},
    counts, existing, ids, outcome,
};
use crate::{
    StoreError, newest_per_voter,
    postgres::{
        PostgresStore, PostgresTransaction, query, query_as, query_scalar, upsert, with_timeout,
    },
};
use poll::{
    PollId,
    ballot::{BallotId, CastBallot},
};

/// Timeout of a scan and of a fetch of rows. The first rows are available after the sort of all rows.
const ROWS_TIMEOUT: Duration = Duration::from_mins(10);
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl PostgresStore {
    pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let counted = query_as(ALL_COUNTS).fetch_one(transaction.connection());
            let counted = counted.await?;
            transaction.commit().await?;
            Ok(counts(counted))
        })
        .await
    }

    pub(super) async fn poll_counts(&self, poll: &PollId) -> Result<Counts, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let counted = count(transaction.connection(), poll).await?;
            transaction.commit().await?;
            Ok(counted)
        })
        .await
    }

    pub(super) fn stored_votes(
        &self,
        poll: String,
    ) -> BoxStream<'_, Result<StoredVote, StoreError>> {
        stream::once(self.open_votes(poll))
            .map_ok(|cursor| stream::try_unfold(cursor, next_votes))
            .try_flatten()
            .map_ok(|votes| stream::iter(votes).map(Ok))
            .try_flatten()
            .boxed()
    }

    /// Opens a cursor over a snapshot of the votes in one poll, or of all if the text is empty.
    async fn open_votes(&self, poll: String) -> Result<PostgresTransaction, StoreError> {
        with_timeout(ROWS_TIMEOUT, async {
            let mut transaction = self.begin().await?;
            // The declaration of a cursor takes no parameters.
            query("SELECT set_config('voting_app.poll', $1, true)")
                .bind(poll)
                .execute(transaction.connection())
                .await?;
            // The reader of the votes may be slow.
            let open = "SET LOCAL idle_in_transaction_session_timeout = '10min';
                 DECLARE stored_votes NO SCROLL CURSOR FOR
                     SELECT id, vote, poll, cast_ms, cast_seq FROM votes
                     WHERE current_setting('voting_app.poll') IN ('', poll) ORDER BY id COLLATE \"C\"";
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

    pub(super) async fn reject_waiting(
        &self,
        rejected: &[(BallotId, String)],
    ) -> Result<(), StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            for (id, reason) in rejected {
                query(REJECT_WAITING)
                    .bind(id.to_string())
                    .bind(reason)
                    .execute(transaction.connection())
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        })
        .await
    }

    pub(super) async fn forget(&self, voters: &[String]) -> Result<Counts, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            let deleted = query("DELETE FROM votes WHERE id = ANY($1)")
                .bind(voters)
                .execute(transaction.connection())
                .await?;
            let letters = query(
                "DELETE FROM dead_letters WHERE EXISTS (SELECT FROM unnest($1::text[]) AS id WHERE position(id IN payload) > 0)",
            )
            .bind(voters)
            .execute(transaction.connection())
            .await?;
            transaction.commit().await?;
            Ok(Counts {
                votes: deleted.rows_affected(),
                dead_letters: letters.rows_affected(),
            })
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

    pub(super) async fn reset(&self, poll: &PollId) -> Result<Counts, StoreError> {
        with_timeout(self.timeout(), async {
            let mut transaction = self.begin().await?;
            // Waits for the workers' transactions and blocks new ones: the counts have no other writer then.
            lock(
                transaction.connection(),
                "LOCK TABLE votes IN ACCESS EXCLUSIVE MODE",
            )
            .await?;
            let deleted = count(transaction.connection(), poll).await?;
            let is_only_poll: bool = query_scalar(
                "SELECT NOT EXISTS (SELECT FROM tally WHERE poll <> $1 AND votes <> 0)",
            )
            .bind(poll.as_str())
            .fetch_one(transaction.connection())
            .await?;
            if is_only_poll {
                // Its trigger empties the counts and notifies readers. A DELETE copies every vote for its trigger.
                query("TRUNCATE votes")
                    .execute(transaction.connection())
                    .await?;
            } else {
                query("DELETE FROM votes WHERE poll = $1")
                    .bind(poll.as_str())
                    .execute(transaction.connection())
                    .await?;
            }
            query("DELETE FROM dead_letters WHERE poll = $1 OR poll IS NULL")
                .bind(poll.as_str())
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

async fn count(connection: &mut PgConnection, poll: &PollId) -> Result<Counts, StoreError> {
    let counted = query_as(POLL_COUNTS).bind(poll.as_str());
    Ok(counts(counted.fetch_one(connection).await?))
}
