//! What operators do with the store while the services use it: count what is in it, put dead letters back, take all
//! votes out, begin anew.

mod comparison;
mod postgres;
mod sqlite;

use std::{collections::HashSet, path::Path};

use futures_util::stream::{BoxStream, StreamExt};
use jiff::Timestamp;

use super::{Backend, Store, StoreError, newest_per_voter};
pub use comparison::{Comparison, CountDifference};
use poll::ballot::{BallotId, CastBallot};

/// How much the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Standing votes.
    pub votes: u64,
    /// Dead letters.
    pub dead_letters: u64,
}

/// One voter's vote, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVote {
    /// Who voted; for votes taken over from the original app in that app's own form.
    pub voter: String,
    /// The key of the option.
    pub choice: String,
    /// When it was cast, to the millisecond; `None`: unknown, as for votes taken over from the original app.
    pub cast_at: Option<Timestamp>,
    /// The ballot that made it the standing vote; `None`: unknown, likewise.
    pub ballot: Option<BallotId>,
}

/// What became of dead letters that were replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// They are ballots now and no dead letters any more.
    pub replayed: u64,
    /// So many of these changed no vote, for the voter had cast a newer ballot.
    pub stale: u64,
    /// They were dead letters no more when their turn came: somebody else was faster.
    pub missing: u64,
}

impl Store {
    /// How much there is.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.counts().await,
            Backend::Postgres(store) => store.counts().await,
        })
    }

    /// Every standing vote at one moment, in the order of the voters' bytes, one after the other: however many there
    /// are, few are in memory.
    ///
    /// # Errors
    /// The store does not answer; the stream ends with the error.
    #[must_use]
    pub fn stored_votes(&self) -> BoxStream<'_, Result<StoredVote, StoreError>> {
        let votes = match &self.backend {
            Backend::Sqlite(store) => store.stored_votes(),
            Backend::Postgres(store) => store.stored_votes(),
        };
        votes.map(|vote| self.record_error(vote)).boxed()
    }

    /// Stores ballots that were dead letters and removes these dead letters, in one transaction. A ballot whose dead
    /// letter is gone is left alone. As always, of each voter's ballots the one with the greatest id stands in the end.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, perhaps all of it. Doing it again is safe.
    pub async fn replay(&self, ballots: &[CastBallot]) -> Result<Replayed, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.replay(ballots).await,
            Backend::Postgres(store) => store.replay(ballots).await,
        })
    }

    /// Compares the running counts with the votes, at one moment. Reads all votes: a second for ten million.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn compare_counts(&self) -> Result<Comparison, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.compare_counts().await,
            Backend::Postgres(store) => store.compare_counts().await,
        })
    }

    /// Makes the running counts anew from the votes, in one transaction, tells readers, and returns what was wrong with
    /// them. No vote is stored meanwhile.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, perhaps all of it. Doing it again is safe.
    pub async fn recount(&self) -> Result<Comparison, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.recount().await,
            Backend::Postgres(store) => store.recount().await,
        })
    }

    /// Gives votes that were cast after this moment the moment itself, so that newer ballots are newer. Returns their number.
    ///
    /// # Errors
    /// Nothing was changed; or, after a timeout or a broken connection, perhaps all of it. Doing it again is safe.
    pub async fn clamp_cast_times(&self, latest: Timestamp) -> Result<u64, StoreError> {
        let latest_ms = latest.as_millisecond();
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.clamp_cast_times(latest_ms).await,
            Backend::Postgres(store) => store.clamp_cast_times(latest_ms).await,
        })
    }

    /// Writes a copy of the embedded database, as it is at one moment, into a file that does not exist yet.
    ///
    /// # Errors
    /// The file cannot be written, or the store is a Postgres, which has programs of its own for that.
    pub async fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => Ok(store.database().copy_to(file).await?),
            Backend::Postgres(_) => Err(StoreError::transient(
                "a Postgres database is copied by pg_dump; see docs/operations.md",
            )),
        })
    }

    /// Deletes votes, counts and dead letters in one transaction, tells readers, and returns what there was.
    ///
    /// # Errors
    /// Nothing was deleted; or, after a timeout or a broken connection, perhaps all of it.
    pub async fn reset(&self) -> Result<Counts, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.reset().await,
            Backend::Postgres(store) => store.reset().await,
        })
    }
}

/// For both backends. The triggers move the votes on the timeline.
const CLAMP_VOTES: &str = "UPDATE votes SET cast_ms = $1, cast_seq = 0 WHERE cast_ms > $1";
const CLAMP_TALLY: &str = "UPDATE tally SET last_cast_ms = $1 WHERE last_cast_ms > $1";

/// As both backends keep it.
#[derive(sqlx::FromRow)]
struct VoteRow {
    id: String,
    vote: String,
    cast_ms: i64,
    cast_seq: i64,
}

impl From<VoteRow> for StoredVote {
    fn from(row: VoteRow) -> Self {
        let known = Some(row.cast_ms).filter(|ms| *ms > 0);
        Self {
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

/// Votes and dead letters, as counted by a query with these two columns.
fn counts((votes, dead_letters): (i64, i64)) -> Counts {
    Counts {
        votes: votes.unsigned_abs(),
        dead_letters: dead_letters.unsigned_abs(),
    }
}

/// The ballots whose dead letters are still there.
fn still_dead(ballots: &[CastBallot], letters: &HashSet<String>) -> Vec<CastBallot> {
    ballots
        .iter()
        .filter(|cast| letters.contains(&cast.id.to_string()))
        .cloned()
        .collect()
}

fn ids(ballots: &[CastBallot]) -> Vec<String> {
    ballots.iter().map(|cast| cast.id.to_string()).collect()
}

/// `changed` of the newest ballots of each voter became a vote.
fn outcome(asked: &[CastBallot], replayed: &[CastBallot], changed: u64) -> Replayed {
    let newest = newest_per_voter(replayed).len() as u64;
    let superseded = replayed.len() as u64 - newest;
    Replayed {
        replayed: replayed.len() as u64,
        stale: superseded + newest.saturating_sub(changed),
        missing: (asked.len() - replayed.len()) as u64,
    }
}
