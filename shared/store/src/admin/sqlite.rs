//! Administration of the store in the embedded database. Its write lock serialises these transactions with those of the workers.

use futures_util::{
    TryStreamExt,
    stream::{BoxStream, StreamExt},
};
use serde_json::json;
use sqlx::SqliteConnection;

use super::{
    ALL_COUNTS, CLAMP_TALLY, CLAMP_VOTES, Comparison, Counts, POLL_COUNTS, REJECT_WAITING,
    Replayed, StoredVote, VoteRow,
    comparison::{COMPARE_TALLY, COMPARE_TIMELINE, RECOUNT},
    counts, existing, ids, outcome,
};
use crate::{
    StoreError, newest_per_voter,
    sqlite::{SqliteStore, upsert},
};
use poll::{
    PollId,
    ballot::{BallotId, CastBallot},
};

impl SqliteStore {
    pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
        let counted = sqlx::query_as(ALL_COUNTS).fetch_one(self.database().readers());
        Ok(counts(counted.await?))
    }

    pub(super) async fn poll_counts(&self, poll: &PollId) -> Result<Counts, StoreError> {
        let mut reader = self.database().readers().acquire().await?;
        count(&mut reader, poll).await
    }

    pub(super) fn stored_votes(
        &self,
        poll: String,
    ) -> BoxStream<'_, Result<StoredVote, StoreError>> {
        let votes = sqlx::query_as::<_, VoteRow>(
            "SELECT id, vote, poll, cast_ms, cast_seq FROM votes WHERE ?1 IN ('', poll) ORDER BY id",
        );
        votes
            .bind(poll)
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

    pub(super) async fn reject_waiting(
        &self,
        rejected: &[(BallotId, String)],
    ) -> Result<(), StoreError> {
        let mut write = self.database().write().await?;
        for (id, reason) in rejected {
            sqlx::query(REJECT_WAITING)
                .bind(id.to_string())
                .bind(reason)
                .execute(&mut *write)
                .await?;
        }
        write.commit().await?;
        Ok(())
    }

    pub(super) async fn forget(&self, voters: &[String]) -> Result<Counts, StoreError> {
        let voters = json!(voters).to_string();
        let mut write = self.database().write().await?;
        let deleted =
            sqlx::query("DELETE FROM votes WHERE id IN (SELECT value FROM json_each(?1))")
                .bind(&voters)
                .execute(&mut *write)
                .await?;
        let letters = sqlx::query(
            "DELETE FROM dead_letters WHERE EXISTS (SELECT 1 FROM json_each(?1) WHERE instr(payload, value) > 0)",
        );
        let letters = letters.bind(&voters).execute(&mut *write).await?;
        write.commit().await?;
        Ok(Counts {
            votes: deleted.rows_affected(),
            dead_letters: letters.rows_affected(),
        })
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

    pub(super) async fn reset(&self, poll: &PollId) -> Result<Counts, StoreError> {
        let mut write = self.database().write().await?;
        let deleted = count(&mut write, poll).await?;
        // The counts are deleted first: then the trigger of each deleted vote has no row to update, which is faster.
        for statement in [
            "DELETE FROM tally WHERE poll = ?1",
            "DELETE FROM timeline WHERE poll = ?1",
            "DELETE FROM votes WHERE poll = ?1",
            "DELETE FROM dead_letters WHERE poll = ?1 OR poll IS NULL",
        ] {
            sqlx::query(statement)
                .bind(poll.as_str())
                .execute(&mut *write)
                .await?;
        }
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

async fn count(connection: &mut SqliteConnection, poll: &PollId) -> Result<Counts, StoreError> {
    let counted = sqlx::query_as(POLL_COUNTS).bind(poll.as_str());
    Ok(counts(counted.fetch_one(connection).await?))
}
