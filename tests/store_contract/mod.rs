//! The contract of all store backends.

mod ballots;
mod counts;
mod migrations;
mod postgres;
mod readers;

use jiff::Timestamp;
use poll::ballot::{Ballot, BallotId, CastBallot, VoterId};
use sqlx::{Connection, PgConnection};
use store::{Applied, DeadLetter, Store};

use crate::harness::storage::{Storage, poll};

/// A ballot with this id.
pub fn cast(voter: VoterId, choice: &str, ms: u64, seq: u64) -> CastBallot {
    let ballot = Ballot {
        poll: poll().id,
        voter,
        choice: poll().choice(choice).unwrap(),
        traceparent: None,
    };
    CastBallot {
        id: BallotId { ms, seq },
        ballot,
    }
}

/// Applies ballots, and returns the numbers of applied and stale ones.
async fn apply(store: &Store, ballots: &[CastBallot]) -> (u64, u64) {
    let Applied { applied, stale } = store.upsert_ballots(ballots, &[]).await.unwrap();
    (applied, stale)
}

/// The votes for a and b in the tally.
async fn votes(store: &Store) -> (u64, u64) {
    let tally = store.tally(&poll().id).await.unwrap();
    (tally.votes("a"), tally.votes("b"))
}

/// Checks that the running counts of every poll equal the counted votes.
pub async fn assert_counts_are_right(storage: &Storage) {
    for (counts, votes) in [
        (
            "SELECT poll || ' ' || option AS counted, votes FROM tally WHERE votes <> 0 ORDER BY 1",
            "SELECT poll || ' ' || vote AS counted, count(*) AS votes FROM votes GROUP BY 1 ORDER BY 1",
        ),
        (
            "SELECT poll || ' ' || option || ' ' || bucket AS step, votes FROM timeline WHERE votes <> 0 ORDER BY 1",
            "SELECT poll || ' ' || vote || ' ' || (cast_ms / 10000 * 10000) AS step, count(*) AS votes FROM votes
             WHERE cast_ms > 0 GROUP BY 1 ORDER BY 1",
        ),
    ] {
        assert_eq!(
            storage.rows(counts).await,
            storage.rows(votes).await,
            "{counts} equals the counted votes"
        );
    }
}

/// A dead letter with this time in its id.
pub fn dead(ms: u64, reason: &str) -> DeadLetter {
    DeadLetter {
        id: BallotId { ms, seq: 1 },
        poll: Some(poll().id),
        reason: reason.into(),
        waits_for_poll: false,
        payload: r#"{"voter":"x\u0000"}"#.into(),
        received_at: Timestamp::from_millisecond(1_763_900_000_120).unwrap(),
    }
}

async fn connect(storage: &Storage) -> PgConnection {
    PgConnection::connect(&storage.database_url).await.unwrap()
}
