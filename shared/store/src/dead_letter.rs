//! Dead letters: entries that cannot be stored as votes.

use jiff::Timestamp;

use poll::{PollId, ballot::BallotId};

/// An entry of the queue that is no valid ballot, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Id of the entry.
    pub id: BallotId,
    /// Id of the entry's poll; `None` if the entry has none, or an invalid one.
    pub poll: Option<PollId>,
    /// Reason why it is not stored as a vote.
    pub reason: String,
    /// True if the entry's poll is unknown. The letter is counted when the poll has become known.
    pub waits_for_poll: bool,
    /// Fields of the entry as JSON.
    pub payload: String,
    /// Time when a worker rejected it, in milliseconds.
    pub received_at: Timestamp,
}

impl DeadLetter {
    /// Returns the current time, to the millisecond as in the store.
    #[must_use]
    pub fn now() -> Timestamp {
        to_millisecond(Timestamp::now().as_millisecond())
    }
}

/// Row of both backends.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    ballot: String,
    poll: Option<String>,
    reason: String,
    waits_for_poll: bool,
    payload: String,
    received_ms: i64,
}

/// Converts rows. Rows with an invalid id, which was written by hand, are left out.
pub(super) fn from_rows(rows: Vec<Row>) -> Vec<DeadLetter> {
    let letter = |row: Row| {
        Some(DeadLetter {
            id: row.ballot.parse().ok()?,
            poll: row.poll.and_then(|id| id.parse().ok()),
            reason: row.reason,
            waits_for_poll: row.waits_for_poll,
            payload: row.payload,
            received_at: to_millisecond(row.received_ms),
        })
    };
    let mut letters: Vec<_> = rows.into_iter().filter_map(letter).collect();
    letters.sort_by_key(|letter| letter.id);
    letters
}

/// Converts a time. Only a time that was written by hand can be out of range.
fn to_millisecond(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}
