//! A batch of deliveries, sorted into ballots and dead letters, and its way into the store.

use poll::{
    Poll,
    ballot::{BallotId, CastBallot, VoterId},
};
use queue::StreamEntry;
use store::{Applied, DeadLetter, ErrorClass, Store, StoreError};

/// Deliveries, and what each of them turned out to be.
pub struct Batch<'a> {
    ballots: Vec<(CastBallot, &'a StreamEntry)>,
    dead: Vec<DeadLetter>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its ballots.
    pub applied: Applied,
    /// Its dead letters.
    pub dead_letters: Vec<BallotId>,
}

impl Stored {
    fn add(&mut self, applied: Applied) {
        self.applied.applied += applied.applied;
        self.applied.stale += applied.stale;
    }
}

impl<'a> Batch<'a> {
    /// Opens the deliveries. What is no ballot of this poll becomes a dead letter.
    pub fn sort(deliveries: &'a [StreamEntry], poll: &Poll) -> Self {
        let mut batch = Self {
            ballots: Vec::with_capacity(deliveries.len()),
            dead: Vec::new(),
        };
        for delivery in deliveries {
            match delivery.parse(poll) {
                Ok(ballot) => batch.ballots.push((ballot, delivery)),
                Err(reason) => batch.dead.push(dead_letter(delivery, &reason)),
            }
        }
        batch
    }

    /// Stores all of it in one transaction. Should the store refuse some ballot for ever, which it never should, the
    /// batch is halved until that ballot stands alone and becomes a dead letter: no poison holds up the others.
    ///
    /// Unless the fault is the table's, as when somebody added a column, a check or a trigger to it: then another voter's
    /// ballot for the same option is refused as well, and all of them wait.
    ///
    /// # Errors
    /// The store failed for the moment, or refuses what is no ballot's fault; all of it may be stored again.
    pub async fn store(self, store: &Store) -> Result<Stored, StoreError> {
        let mut dead = self.dead;
        let mut stored = Stored::default();
        let mut parts = vec![&self.ballots[..]];
        while let Some(part) = parts.pop() {
            let ballots: Vec<_> = part.iter().map(|(ballot, _)| ballot.clone()).collect();
            match (store.upsert_ballots(&ballots, &dead).await, part) {
                (Ok(applied), _) => {
                    stored.add(applied);
                    let dead = dead.drain(..).map(|letter| letter.id);
                    stored.dead_letters.extend(dead);
                }
                (Err(error), [(ballot, delivery)])
                    if error.class == ErrorClass::Permanent && dead.is_empty() =>
                {
                    ensure_others_are_taken(ballot, store).await?;
                    // The fault may have been mended before the other one was tried.
                    match store.upsert_ballots(&ballots, &[]).await {
                        Ok(applied) => stored.add(applied),
                        Err(again) if again.class == ErrorClass::Permanent => {
                            dead.push(dead_letter(delivery, &error));
                            parts.push(&[]);
                        }
                        Err(again) => return Err(again),
                    }
                }
                (Err(error), _) if error.class == ErrorClass::Permanent && !part.is_empty() => {
                    let (first, second) = part.split_at(part.len() / 2);
                    // The dead letters go first and alone, so that only ballots are under suspicion.
                    parts.extend([second, first, &[]]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(stored)
    }
}

/// Checks that the store takes a ballot like this one from another voter.
async fn ensure_others_are_taken(refused: &CastBallot, store: &Store) -> Result<(), StoreError> {
    let mut canary = refused.clone();
    canary.ballot.voter = VoterId::random();
    canary.ballot.traceparent = None;
    match store.try_upsert(&canary).await {
        Err(error) if error.class == ErrorClass::Permanent => {
            Err(error.into_retryable().with_context(
                "the table votes refuses every ballot like this one; remove what was added to it",
            ))
        }
        outcome => outcome,
    }
}

fn dead_letter(delivery: &StreamEntry, reason: &impl ToString) -> DeadLetter {
    let _trace = delivery.enter_trace();
    let letter = DeadLetter::new(delivery.id, delivery.payload(), reason);
    tracing::warn!(ballot = %letter.id, reason = letter.reason, "a ballot can never be stored; it is kept as a dead letter");
    letter
}
