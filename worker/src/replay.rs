//! Counts dead letters that have become valid ballots.

use poll::{
    KnownPolls,
    ballot::{BallotId, CastBallot},
};
use queue::StreamEntry;
use store::{DeadLetter, ErrorClass, Replayed, Store, StoreError};

/// The outcome of a replay.
#[derive(Default)]
pub struct Replay {
    /// Numbers of dead letters that were replayed.
    pub done: Replayed,
    /// Dead letters that were not replayed, with the reason.
    pub rejected: Vec<(BallotId, String)>,
}

impl Replay {
    /// Replays these dead letters, at most `max_batch_size` in one transaction.
    ///
    /// # Errors
    /// The store failed. Some of the dead letters may be replayed.
    pub async fn run(
        &mut self,
        letters: &[DeadLetter],
        polls: &KnownPolls,
        store: &Store,
        max_batch_size: usize,
    ) -> Result<(), StoreError> {
        let ballots = self.parse(letters, polls);
        self.store(&ballots, store, max_batch_size).await
    }

    fn parse(&mut self, letters: &[DeadLetter], polls: &KnownPolls) -> Vec<CastBallot> {
        let mut ballots = Vec::with_capacity(letters.len());
        for letter in letters {
            let parsed = StreamEntry::from_payload(letter.id, &letter.payload)
                .map_err(|error| error.to_string())
                .and_then(|entry| entry.parse(polls).map_err(|error| error.to_string()));
            match parsed {
                Ok(ballot) => ballots.push(ballot),
                Err(reason) => self.rejected.push((letter.id, reason)),
            }
        }
        ballots
    }

    /// Stores the ballots in batches. A ballot that the store permanently rejects is found by halving its batch.
    async fn store(
        &mut self,
        ballots: &[CastBallot],
        store: &Store,
        max_batch_size: usize,
    ) -> Result<(), StoreError> {
        let mut parts: Vec<_> = ballots.chunks(max_batch_size).rev().collect();
        while let Some(part) = parts.pop() {
            match (store.replay(part).await, part) {
                (Ok(done), _) => {
                    self.done.replayed += done.replayed;
                    self.done.stale += done.stale;
                    self.done.missing += done.missing;
                }
                (Err(error), [only]) if error.class == ErrorClass::Permanent => {
                    self.rejected.push((only.id, error.to_string()));
                }
                (Err(error), _) if error.class == ErrorClass::Permanent => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }
}
