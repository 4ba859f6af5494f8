//! Reprocesses dead letters.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use clap::Args;
use cli::escape_control;
use poll::{
    KnownPolls, Poll,
    ballot::{BallotId, CastBallot},
};
use queue::StreamEntry;
use store::{DeadLetter, ErrorClass, Replayed, Store, StoreError};

use super::pluralize;
use crate::polls;

/// The arguments of `admin replay`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Ballot ids of the dead letters, as listed by dead-letters
    #[arg(value_name = "BALLOT-ID", required_unless_present = "all")]
    ballots: Vec<BallotId>,

    /// All dead letters
    #[arg(long, conflicts_with = "ballots")]
    all: bool,
}

/// The outcome of a replay.
#[derive(Default)]
struct Replay {
    done: Replayed,
    /// Dead letters that were not replayed, with the reason.
    rejected: Vec<(BallotId, String)>,
}

impl Settings {
    /// Replays the selected dead letters, at most `max_batch_size` in one transaction.
    pub(super) async fn run(
        &self,
        store: &Store,
        poll: &Poll,
        max_batch_size: usize,
    ) -> anyhow::Result<()> {
        let letters = store.dead_letters().await?;
        let mut replay = Replay::default();
        let selected = self.select(letters, &mut replay.rejected);
        let ballots = replay.parse(&selected, &polls::load(store, poll).await?);
        let stored = replay.store(&ballots, store, max_batch_size).await;
        replay.report();
        stored.context("not all dead letters were processed; run the command again")?;
        let rejected = replay.rejected.len() as u64;
        ensure!(
            rejected == 0,
            "{} not replayed",
            pluralize(rejected, "dead letter")
        );
        Ok(())
    }

    /// Selects the given dead letters. Ids without a dead letter are rejected.
    fn select(
        &self,
        mut letters: Vec<DeadLetter>,
        rejected: &mut Vec<(BallotId, String)>,
    ) -> Vec<DeadLetter> {
        if !self.all {
            let selected: BTreeSet<_> = self.ballots.iter().copied().collect();
            let mut missing = selected.clone();
            letters.retain(|letter| selected.contains(&letter.id) && missing.remove(&letter.id));
            let unknown = |id| (id, "there is no such dead letter".to_owned());
            rejected.extend(missing.into_iter().map(unknown));
        }
        letters
    }
}

impl Replay {
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

    fn report(&self) {
        let Replayed {
            replayed,
            stale,
            missing,
        } = self.done;
        println!("{} replayed", pluralize(replayed, "dead letter"));
        if stale > 0 {
            println!("{stale} of them changed no vote: the voter has a newer one");
        }
        if missing > 0 {
            println!("{missing} more were replayed or deleted by another command");
        }
        for (id, reason) in &self.rejected {
            eprintln!("{id}: {}", escape_control(reason));
        }
    }
}
