//! Administration of the store in the embedded database. Its write lock serialises these transactions with those of the workers.

use futures_util::{
    TryStreamExt,
    stream::{BoxStream, StreamExt},
};
use serde_json::json;
use sqlx::SqliteConnection;

use super::{
    CLAMP_TALLY, CLAMP_VOTES, Comparison, Counts, Replayed, StoredVote, VoteRow,
    comparison::{COMPARE_TALLY, COMPARE_TIMELINE, RECOUNT},
    counts, existing, ids, outcome,
};
use crate::{
    StoreError, newest_per_voter,
    sqlite::{SqliteStore, upsert},
};
use poll::ballot::CastBallot;

impl SqliteStore {
    pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
        let mut reader = self.database().readers().acquire().await?;
        count(&mut reader).await
    }

    pub(super) fn stored_votes(&self) -> BoxStream<'_, Result<StoredVote, StoreError>> {
        sqlx::query_as::<_, VoteRow>("SELECT id, vote, cast_ms, cast_seq FROM votes ORDER BY id")
            .fetch(self.database().readers())
            .map_ok(StoredVote::from)
            .map_err(StoreError::from)
            .boxed()
    }

    pub(super) async fn replay(&self, ballots: &[CastBallot]) -> Result<Replayed, StoreError> {
        let mut write = self.database().write().await?;
        let letters: Vec<String> = sqlx::query_scalar(
            "SELECT ballot FROM dead_letters WHERE ballot IN (SELECT value FROM json_each(?1))",
        )
        .bind(json!(ids(ballots)).to_string())
        .fetch_all(&mut *write)
        .await?;
        let replayed = existing(ballots, &letters.into_iter().collect());
        let changed = upsert(&mut write, &newest_per_voter(&replayed)).await?;
        sqlx::query("DELETE FROM dead_letters WHERE ballot IN (SELECT value FROM json_each(?1))")
            .bind(json!(ids(&replayed)).to_string())
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(outcome(ballots, &replayed, changed))
    }

    pub(super) async fn compare_counts(&self) -> Result<Comparison, StoreError> {
        let mut reader = self.database().readers().begin().await?;
        compare(&mut reader).await
    }

    pub(super) async fn recount(&self) -> Result<Comparison, StoreError> {
        let mut write = self.database().write().await?;
        let compared = compare(&mut write).await?;
        sqlx::raw_sql(RECOUNT).execute(&mut *write).await?;
        write.commit().await?;
        Ok(compared)
    }

    pub(super) async fn clamp_cast_times(&self, latest_ms: i64) -> Result<u64, StoreError> {
        let mut write = self.database().write().await?;
        let done = sqlx::query(CLAMP_VOTES)
            .bind(latest_ms)
            .execute(&mut *write)
            .await?;
        sqlx::query(CLAMP_TALLY)
            .bind(latest_ms)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn reset(&self) -> Result<Counts, StoreError> {
        let mut write = self.database().write().await?;
        let deleted = count(&mut write).await?;
        // The counts are deleted first: then the trigger of each deleted vote has no row to update, which is faster.
        sqlx::raw_sql(
            "DELETE FROM tally; DELETE FROM timeline; DELETE FROM votes; DELETE FROM dead_letters;",
        )
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(deleted)
    }
}

async fn compare(connection: &mut SqliteConnection) -> Result<Comparison, StoreError> {
    let options = sqlx::query_as(COMPARE_TALLY)
        .fetch_all(&mut *connection)
        .await?;
    let steps: i64 = sqlx::query_scalar(COMPARE_TIMELINE)
        .fetch_one(connection)
        .await?;
    Ok(Comparison {
        options,
        timeline_steps: steps.unsigned_abs(),
    })
}

async fn count(connection: &mut SqliteConnection) -> Result<Counts, StoreError> {
    let counted = sqlx::query_as(
        "SELECT (SELECT coalesce(sum(votes), 0) FROM tally), (SELECT count(*) FROM dead_letters)",
    );
    Ok(counts(counted.fetch_one(connection).await?))
}
