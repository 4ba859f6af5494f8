//! Administration of the store while the services use it: counts, replay of dead letters, export, reset.

mod comparison;
mod postgres;
mod sqlite;

use std::{collections::HashSet, path::Path};

use futures_util::stream::{BoxStream, StreamExt};
use jiff::Timestamp;

use super::{Backend, DeadLetter, Store, StoreError, newest_per_voter};
pub use comparison::{Comparison, CountDifference};
use poll::{
    PollId,
    ballot::{BallotId, CastBallot, VoterId},
};

/// Numbers of votes and dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of votes.
    pub votes: u64,
    /// Number of dead letters.
    pub dead_letters: u64,
}

/// A voter's stored vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVote {
    /// Id of the poll.
    pub poll: String,
    /// Voter's id in this poll; votes migrated from the original app have ids in that app's form.
    pub voter: String,
    /// Key of the option.
    pub choice: String,
    /// Time when the vote was cast, in milliseconds; `None` for votes migrated from the original app.
    pub cast_at: Option<Timestamp>,
    /// Id of the ballot; `None` for votes migrated from the original app.
    pub ballot: Option<BallotId>,
}

/// Outcome of a replay of dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Number of dead letters that were stored as ballots and deleted.
    pub replayed: u64,
    /// Number of these that changed no vote: a newer ballot of the voter was stored.
    pub stale: u64,
    /// Number of dead letters that did not exist any more, because another replay or a reset had deleted them.
    pub missing: u64,
}

impl Store {
    /// Returns the numbers of votes in a poll and of its dead letters. Dead letters without a valid poll id belong to the poll of the
    /// settings, which `poll` must be.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn poll_counts(&self, poll: &PollId) -> Result<Counts, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.poll_counts(poll).await,
            Backend::Postgres(store) => store.poll_counts(poll).await,
        })
    }

    /// Returns the numbers of votes and dead letters in all polls.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.counts().await,
            Backend::Postgres(store) => store.counts().await,
        })
    }

    /// Streams a consistent snapshot of all votes, or of those in one poll, in the byte order of the voters. Only a few are in memory at a time.
    ///
    /// # Errors
    /// The store is unreachable; the stream ends with the error.
    #[must_use]
    pub fn stored_votes(
        &self,
        poll: Option<&PollId>,
    ) -> BoxStream<'_, Result<StoredVote, StoreError>> {
        // An empty text is the id of no poll.
        let poll = poll.map(ToString::to_string).unwrap_or_default();
        let votes = match &self.backend {
            Backend::Sqlite(store) => store.stored_votes(poll),
            Backend::Postgres(store) => store.stored_votes(poll),
        };
        votes.map(|vote| self.record_error(vote)).boxed()
    }

    /// Stores ballots of dead letters and deletes these dead letters, in one transaction. A ballot whose dead letter does not
    /// exist any more is skipped. As always, the ballot with the greatest id becomes its voter's vote.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, possibly all of it. It is safe to retry.
    pub async fn replay(&self, ballots: &[CastBallot]) -> Result<Replayed, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.replay(ballots).await,
            Backend::Postgres(store) => store.replay(ballots).await,
        })
    }

    /// Returns dead letters that waited for a poll which is known now, in the order of their ids.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn countable_dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.dead_letters(true).await,
            Backend::Postgres(store) => store.dead_letters(true).await,
        })
    }

    /// Replaces the reasons of dead letters that waited for their poll and are no valid ballots in it. They wait no longer.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, possibly all of it. It is safe to retry.
    pub async fn reject_waiting(&self, rejected: &[(BallotId, String)]) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.reject_waiting(rejected).await,
            Backend::Postgres(store) => store.reject_waiting(rejected).await,
        })
    }

    /// Deletes the votes with these voter ids and the dead letters that contain one of them, in one transaction, and returns the deleted
    /// numbers.
    ///
    /// # Errors
    /// Nothing was deleted; or, after a timeout or a broken connection, possibly all of it. It is safe to retry.
    pub async fn forget(&self, voters: &[VoterId]) -> Result<Counts, StoreError> {
        let voters: Vec<_> = voters.iter().map(ToString::to_string).collect();
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.forget(&voters).await,
            Backend::Postgres(store) => store.forget(&voters).await,
        })
    }

    /// Compares the running counts with the votes in one snapshot. Reads all votes: one second for ten million.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn compare_counts(&self) -> Result<Comparison, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.compare_counts().await,
            Backend::Postgres(store) => store.compare_counts().await,
        })
    }

    /// Recomputes the running counts from the votes in one transaction, notifies readers, and returns the differences. No vote
    /// is stored meanwhile.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, possibly all of it. It is safe to retry.
    pub async fn recount(&self) -> Result<Comparison, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.recount().await,
            Backend::Postgres(store) => store.recount().await,
        })
    }

    /// Sets the time of votes with a later time to `latest`, so that later ballots are newer. Returns the number of these votes.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, possibly all of it. It is safe to retry.
    pub async fn clamp_cast_times(&self, latest: Timestamp) -> Result<u64, StoreError> {
        let latest_ms = latest.as_millisecond();
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.clamp_cast_times(latest_ms).await,
            Backend::Postgres(store) => store.clamp_cast_times(latest_ms).await,
        })
    }

    /// Writes a consistent copy of the embedded database into a new file.
    ///
    /// # Errors
    /// The file exists or cannot be written, or the store is Postgres, which has its own tools for backups.
    pub async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => Ok(store.database().copy_to(file).await?),
            Backend::Postgres(_) => Err(StoreError::transient(
                "use pg_dump to back up a Postgres database; see docs/operations.md",
            )),
        })
    }

    /// Deletes a poll's votes, counts and dead letters in one transaction, notifies readers, and returns the deleted numbers: those of
    /// [`Self::poll_counts`].
    ///
    /// # Errors
    /// Nothing was deleted; or, after a timeout or a broken connection, possibly all of it.
    pub async fn reset(&self, poll: &PollId) -> Result<Counts, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.reset(poll).await,
            Backend::Postgres(store) => store.reset(poll).await,
        })
    }
}

/// Statements of both backends. The triggers move the votes on the timeline.
const CLAMP_VOTES: &str = "UPDATE votes SET cast_ms = $1, cast_seq = 0 WHERE cast_ms > $1";
const CLAMP_TALLY: &str = "UPDATE tally SET last_cast_ms = $1 WHERE last_cast_ms > $1";

/// Queries of both backends. The numbers of votes are sums of the tally.
const POLL_COUNTS: &str = "
    SELECT (SELECT CAST(coalesce(sum(votes), 0) AS bigint) FROM tally WHERE poll = $1),
        (SELECT count(*) FROM dead_letters WHERE poll = $1 OR poll IS NULL)";
const ALL_COUNTS: &str = "
    SELECT (SELECT CAST(coalesce(sum(votes), 0) AS bigint) FROM tally), (SELECT count(*) FROM dead_letters)";
const REJECT_WAITING: &str = "
    UPDATE dead_letters SET reason = $2, waits_for_poll = false WHERE ballot = $1 AND waits_for_poll";

/// Row of both backends.
#[derive(sqlx::FromRow)]
struct VoteRow {
    id: String,
    vote: String,
    poll: String,
    cast_ms: i64,
    cast_seq: i64,
}

impl From<VoteRow> for StoredVote {
    fn from(row: VoteRow) -> Self {
        let known = Some(row.cast_ms).filter(|ms| *ms > 0);
        Self {
            poll: row.poll,
            voter: row.id,
            choice: row.vote,
            cast_at: known.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            ballot: known.map(|ms| BallotId {
                ms: ms.unsigned_abs(),
                seq: row.cast_seq.unsigned_abs(),
            }),
        }
    }
}

/// Converts a row with the numbers of votes and of dead letters.
fn counts((votes, dead_letters): (i64, i64)) -> Counts {
    Counts {
        votes: votes.unsigned_abs(),
        dead_letters: dead_letters.unsigned_abs(),
    }
}

/// Returns the ballots whose dead letters still exist.
fn existing(ballots: &[CastBallot], letters: &HashSet<String>) -> Vec<CastBallot> {
    ballots
        .iter()
        .filter(|cast| letters.contains(&cast.id.to_string()))
        .cloned()
        .collect()
}

fn ids(ballots: &[CastBallot]) -> Vec<String> {
    ballots.iter().map(|cast| cast.id.to_string()).collect()
}

/// Returns the outcome of a replay in which `changed` of the voters' newest ballots became a vote.
fn outcome(requested: &[CastBallot], replayed: &[CastBallot], changed: u64) -> Replayed {
    let newest = newest_per_voter(replayed).len() as u64;
    let superseded = replayed.len() as u64 - newest;
    Replayed {
        replayed: replayed.len() as u64,
        stale: superseded + newest.saturating_sub(changed),
        missing: (requested.len() - replayed.len()) as u64,
    }
}
