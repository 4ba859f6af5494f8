//! A batch of stream entries, parsed into ballots and dead letters, and stored.

use poll::{
    KnownPolls,
    ballot::{BallotId, CastBallot, VoterId},
};
use queue::{InvalidBallot, StreamEntry};
use store::{Applied, DeadLetter, ErrorClass, Store, StoreError};

/// Ballots and dead letters of a list of stream entries.
pub struct Batch<'a> {
    ballots: Vec<(CastBallot, &'a StreamEntry)>,
    dead_letters: Vec<DeadLetter>,
}

/// The outcome of a stored batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The number of ballots by outcome.
    pub applied: Applied,
    /// The ids of the dead letters.
    pub dead_letters: Vec<BallotId>,
}

impl Stored {
    fn add(&mut self, applied: Applied) {
        self.applied.applied += applied.applied;
        self.applied.stale += applied.stale;
    }
}

impl<'a> Batch<'a> {
    /// Parses the entries. An entry that is no ballot of a known poll becomes a dead letter.
    pub fn parse(entries: &'a [StreamEntry], polls: &KnownPolls) -> Self {
        let mut batch = Self {
            ballots: Vec::with_capacity(entries.len()),
            dead_letters: Vec::new(),
        };
        for entry in entries {
            match entry.parse(polls) {
                Ok(ballot) => batch.ballots.push((ballot, entry)),
                Err(reason) => {
                    let waits_for_poll = matches!(reason, InvalidBallot::UnknownPoll(_));
                    let letter = dead_letter(entry, &reason, waits_for_poll);
                    batch.dead_letters.push(letter);
                }
            }
        }
        batch
    }

    /// Stores the batch in one transaction.
    ///
    /// If the store permanently rejects a ballot, which should not happen, the batch is halved until that ballot is alone and
    /// becomes a dead letter. It does not block the other ballots.
    ///
    /// If the cause is a change of the table, such as an added column, check or trigger, another voter's ballot for the same option
    /// is rejected as well. Then no ballot becomes a dead letter, and all of them are retried.
    ///
    /// # Errors
    /// The store failed temporarily, or rejects ballots for a reason that is not in the ballot. The whole batch may be stored again.
    pub async fn store(self, store: &Store) -> Result<Stored, StoreError> {
        let mut dead_letters = self.dead_letters;
        let mut stored = Stored::default();
        let mut parts = vec![&self.ballots[..]];
        while let Some(part) = parts.pop() {
            let ballots: Vec<_> = part.iter().map(|(ballot, _)| ballot.clone()).collect();
            match (store.upsert_ballots(&ballots, &dead_letters).await, part) {
                (Ok(applied), _) => {
                    stored.add(applied);
                    let ids = dead_letters.drain(..).map(|letter| letter.id);
                    stored.dead_letters.extend(ids);
                }
                (Err(error), [(ballot, entry)])
                    if error.class == ErrorClass::Permanent && dead_letters.is_empty() =>
                {
                    ensure_similar_ballot_is_accepted(ballot, store).await?;
                    // The table may have been repaired before the similar ballot was tried.
                    match store.upsert_ballots(&ballots, &[]).await {
                        Ok(applied) => stored.add(applied),
                        Err(again) if again.class == ErrorClass::Permanent => {
                            dead_letters.push(dead_letter(entry, &error, false));
                            parts.push(&[]);
                        }
                        Err(again) => return Err(again),
                    }
                }
                (Err(error), _) if error.class == ErrorClass::Permanent && !part.is_empty() => {
                    let (first, second) = part.split_at(part.len() / 2);
                    // The dead letters are stored first and alone, so that only a ballot can be the cause of the next error.
                    parts.extend([second, first, &[]]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(stored)
    }
}

/// Checks that the store accepts a ballot like this one from another voter.
async fn ensure_similar_ballot_is_accepted(
    rejected: &CastBallot,
    store: &Store,
) -> Result<(), StoreError> {
    let mut similar = rejected.clone();
    similar.ballot.voter = VoterId::random();
    similar.ballot.traceparent = None;
    match store.try_upsert(&similar).await {
        Err(error) if error.class == ErrorClass::Permanent => {
            Err(error.into_retryable().with_context(
                "the table votes rejects every ballot like this one; remove what was added to it",
            ))
        }
        result => result,
    }
}

fn dead_letter(entry: &StreamEntry, reason: &impl ToString, waits_for_poll: bool) -> DeadLetter {
    let _trace = entry.enter_trace();
    let letter = DeadLetter {
        id: entry.id,
        poll: entry.poll(),
        reason: reason.to_string(),
        waits_for_poll,
        payload: entry.payload(),
        received_at: DeadLetter::now(),
    };
    tracing::warn!(ballot.id = %letter.id, reason = letter.reason, "the ballot cannot be stored and becomes a dead letter");
    letter
}
