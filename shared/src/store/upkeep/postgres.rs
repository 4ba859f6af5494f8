//! Looking after the votes in Postgres.
//!
//! Every transaction here locks the table `votes` first, as the workers' do: nothing waits in a circle.

use std::time::Duration;

use futures_util::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use sqlx::{Connection, PgConnection, error::DatabaseError};
use tokio::time::timeout;

use super::{Contents, Replayed, StandingVote, VoteRow, contents, ids, outcome, still_dead};
use crate::{
    ballot::CastBallot,
    store::{
        StoreError, newest_per_voter,
        postgres::{PostgresStore, upsert, within},
    },
};

/// How long one row may take. The first comes when all are sorted.
const ROW_TIMEOUT: Duration = Duration::from_mins(10);
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const LOCK_NOT_AVAILABLE: &str = "55P03";

impl PostgresStore {
    pub(super) async fn contents(&self) -> Result<Contents, StoreError> {
        within(self.timeout(), async {
            let mut lease = self.lease().await?;
            let counted = count(lease.connection()).await?;
            lease.give_back();
            Ok(counted)
        })
        .await
    }

    pub(super) fn standing_votes(&self) -> BoxStream<'_, Result<StandingVote, StoreError>> {
        let rows = sqlx::query_as::<_, VoteRow>(
            "SELECT id, vote, cast_ms, cast_seq FROM votes ORDER BY id COLLATE \"C\"",
        )
        .fetch(self.pool());
        stream::try_unfold(rows, async |mut rows| {
            let next = timeout(ROW_TIMEOUT, rows.try_next()).await;
            let row = next.map_err(|_| StoreError::timeout(ROW_TIMEOUT))??;
            Ok(row.map(|row| (row.into(), rows)))
        })
        .boxed()
    }

    pub(super) async fn replay(&self, ballots: &[CastBallot]) -> Result<Replayed, StoreError> {
        within(self.timeout(), async {
            let mut lease = self.lease().await?;
            let mut transaction = lease.connection().begin().await?;
            // Before looking at the dead letters. The first keeps off a reset, the second another replay; workers go on.
            sqlx::raw_sql(
                "LOCK TABLE votes IN ROW EXCLUSIVE MODE; LOCK TABLE dead_letters IN SHARE UPDATE EXCLUSIVE MODE",
            )
            .execute(&mut *transaction)
            .await?;
            let letters: Vec<String> =
                sqlx::query_scalar("SELECT ballot FROM dead_letters WHERE ballot = ANY($1)")
                    .bind(ids(ballots))
                    .fetch_all(&mut *transaction)
                    .await?;
            let replayed = still_dead(ballots, &letters.into_iter().collect());
            let changed = upsert(&mut transaction, &newest_per_voter(&replayed)).await?;
            sqlx::query("DELETE FROM dead_letters WHERE ballot = ANY($1)")
            .bind(ids(&replayed))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            lease.give_back();
            Ok(outcome(ballots, &replayed, changed))
        })
        .await
    }

    pub(super) async fn reset(&self) -> Result<Contents, StoreError> {
        within(self.timeout(), async {
            let mut lease = self.lease().await?;
            let mut transaction = lease.connection().begin().await?;
            // Waits for the workers' transactions, and lets none begin: the counts have no other writer now.
            lock_out_everybody(&mut transaction).await?;
            let deleted = count(&mut transaction).await?;
            // Its trigger empties the counts and tells readers. A DELETE would copy every vote for its trigger.
            sqlx::query("TRUNCATE votes")
                .execute(&mut *transaction)
                .await?;
            sqlx::query("DELETE FROM dead_letters")
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            lease.give_back();
            Ok(deleted)
        })
        .await
    }
}

/// Gives up soon: while it waits for whoever reads the votes, the workers wait behind it.
async fn lock_out_everybody(transaction: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL lock_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    let locked = sqlx::query("LOCK TABLE votes IN ACCESS EXCLUSIVE MODE").execute(transaction);
    locked.await.map_err(|error| {
        let code = error.as_database_error().and_then(DatabaseError::code);
        if code.as_deref() == Some(LOCK_NOT_AVAILABLE) {
            return StoreError::busy(
                "somebody reads the votes, perhaps an export; wait for its end",
            );
        }
        error.into()
    })?;
    Ok(())
}

async fn count(connection: &mut PgConnection) -> Result<Contents, StoreError> {
    let counted = sqlx::query_as(
        "SELECT (SELECT coalesce(sum(votes), 0)::bigint FROM tally), (SELECT count(*) FROM dead_letters)",
    );
    Ok(contents(counted.fetch_one(connection).await?))
}
