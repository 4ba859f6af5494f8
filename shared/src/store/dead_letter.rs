//! A ballot that can never be stored.

use crate::{ballot::BallotId, queue::Delivery};

/// What the queue handed out, and why it is no vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the queue.
    pub id: BallotId,
    /// Why it can never be stored.
    pub reason: String,
    /// Its fields, as a JSON object.
    pub payload: String,
}

impl DeadLetter {
    /// The dead letter for a delivery.
    #[must_use]
    pub fn new(delivery: &Delivery, reason: &impl ToString) -> Self {
        Self {
            id: delivery.id,
            reason: reason.to_string(),
            payload: delivery.payload(),
        }
    }
}

/// As both backends keep it.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    ballot: String,
    reason: String,
    payload: String,
}

/// Rows whose id somebody else wrote by hand are left out: they are not ours.
pub(super) fn from_rows(rows: Vec<Row>) -> Vec<DeadLetter> {
    let letter = |row: Row| {
        Some(DeadLetter {
            id: row.ballot.parse().ok()?,
            reason: row.reason,
            payload: row.payload,
        })
    };
    let mut letters: Vec<_> = rows.into_iter().filter_map(letter).collect();
    letters.sort_by_key(|letter| letter.id);
    letters
}
