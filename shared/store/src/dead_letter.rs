//! Dead letters: entries that can never be stored as votes.

use jiff::Timestamp;

use poll::ballot::BallotId;

/// An entry of the queue that is no valid ballot, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Id of the entry.
    pub id: BallotId,
    /// Reason why it can never be stored.
    pub reason: String,
    /// Fields of the entry as JSON.
    pub payload: String,
    /// Time when a worker rejected it, in milliseconds.
    pub received_at: Timestamp,
}

impl DeadLetter {
    /// Creates a dead letter, rejected now. `payload` is the fields of the entry as JSON.
    #[must_use]
    pub fn new(id: BallotId, payload: String, reason: &impl ToString) -> Self {
        Self {
            id,
            reason: reason.to_string(),
            payload,
            received_at: to_millisecond(Timestamp::now().as_millisecond()),
        }
    }
}

/// Row of both backends.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    ballot: String,
    reason: String,
    payload: String,
    received_ms: i64,
}

/// Converts rows. Rows with an invalid id, which was written by hand, are left out.
pub(super) fn from_rows(rows: Vec<Row>) -> Vec<DeadLetter> {
    let letter = |row: Row| {
        Some(DeadLetter {
            id: row.ballot.parse().ok()?,
            reason: row.reason,
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
