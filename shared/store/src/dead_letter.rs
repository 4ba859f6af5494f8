//! A ballot that can never be stored.

use jiff::Timestamp;

use poll::ballot::BallotId;

/// What the queue handed out, and why it is no vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its location in the queue.
    pub id: BallotId,
    /// Why it can never be stored.
    pub reason: String,
    /// Its fields, as JSON.
    pub payload: String,
    /// When a worker gave it up, to the millisecond.
    pub received_at: Timestamp,
}

impl DeadLetter {
    /// A dead letter of a ballot that is given up now. `payload` is its fields, as JSON.
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

/// As both backends keep it.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    ballot: String,
    reason: String,
    payload: String,
    received_ms: i64,
}

/// Rows whose id somebody else wrote by hand are left out: they are not ours.
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

/// Only a time that somebody wrote by hand can be out of range.
fn to_millisecond(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}
