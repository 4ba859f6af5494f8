//! Counts dead letters after all.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use clap::Args;
use cli::escape_control;
use poll::{
    Poll,
    ballot::{BallotId, CastBallot},
};
use queue::StreamEntry;
use store::{DeadLetter, ErrorClass, Replayed, Store, StoreError};

use super::counted;

/// What to replay.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The dead letters' ballot ids, as dead-letters lists them
    #[arg(value_name = "BALLOT-ID", required_unless_present = "all")]
    ballots: Vec<BallotId>,

    /// All dead letters
    #[arg(long, conflicts_with = "ballots")]
    all: bool,
}

/// What came of it.
#[derive(Default)]
struct Replay {
    done: Replayed,
    /// Those that stay, and why.
    refused: Vec<(BallotId, String)>,
}

impl Settings {
    /// `batch`: how many one transaction takes at most.
    pub(super) async fn run(&self, store: &Store, poll: &Poll, batch: usize) -> anyhow::Result<()> {
        let letters = store.dead_letters().await?;
        let mut replay = Replay::default();
        let asked = self.asked_for(letters, &mut replay.refused);
        let ballots = replay.open(&asked, poll);
        let stored = replay.store(&ballots, store, batch).await;
        replay.report();
        stored.context("not all dead letters were tried; run this again")?;
        let refused = replay.refused.len() as u64;
        ensure!(
            refused == 0,
            "{} not replayed",
            counted(refused, "dead letter")
        );
        Ok(())
    }

    /// The dead letters that are asked for. What is asked for and is not there is refused.
    fn asked_for(
        &self,
        mut letters: Vec<DeadLetter>,
        refused: &mut Vec<(BallotId, String)>,
    ) -> Vec<DeadLetter> {
        if !self.all {
            let asked: BTreeSet<_> = self.ballots.iter().copied().collect();
            let mut missing = asked.clone();
            letters.retain(|letter| asked.contains(&letter.id) && missing.remove(&letter.id));
            let none = |id| (id, "there is no such dead letter".to_owned());
            refused.extend(missing.into_iter().map(none));
        }
        letters
    }
}

impl Replay {
    fn open(&mut self, letters: &[DeadLetter], poll: &Poll) -> Vec<CastBallot> {
        let mut ballots = Vec::with_capacity(letters.len());
        for letter in letters {
            let opened = StreamEntry::from_payload(letter.id, &letter.payload)
                .map_err(|error| error.to_string())
                .and_then(|delivery| delivery.parse(poll).map_err(|error| error.to_string()));
            match opened {
                Ok(ballot) => ballots.push(ballot),
                Err(reason) => self.refused.push((letter.id, reason)),
            }
        }
        ballots
    }

    /// A ballot that the store refuses for ever is found by halving, as when it came from the queue.
    async fn store(
        &mut self,
        ballots: &[CastBallot],
        store: &Store,
        batch: usize,
    ) -> Result<(), StoreError> {
        let mut parts: Vec<_> = ballots.chunks(batch).rev().collect();
        while let Some(part) = parts.pop() {
            match (store.replay(part).await, part) {
                (Ok(done), _) => {
                    self.done.replayed += done.replayed;
                    self.done.stale += done.stale;
                    self.done.missing += done.missing;
                }
                (Err(error), [only]) if error.class == ErrorClass::Permanent => {
                    self.refused.push((only.id, error.to_string()));
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
        println!("{} replayed", counted(replayed, "dead letter"));
        if stale > 0 {
            println!("{stale} of them changed no vote: the voter has a newer one");
        }
        if missing > 0 {
            println!("{missing} more had been replayed or deleted meanwhile");
        }
        for (id, reason) in &self.refused {
            eprintln!("{id}: {}", escape_control(reason));
        }
    }
}
