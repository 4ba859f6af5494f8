//! Reprocesses dead letters.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use clap::Args;
use cli::escape_control;
use poll::{Poll, ballot::BallotId};
use store::{DeadLetter, Replayed, Store};

use super::pluralize;
use crate::{polls, replay::Replay};

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
        let polls = polls::load(store, poll).await?;
        let stored = replay.run(&selected, &polls, store, max_batch_size).await;
        report(&replay);
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

fn report(replay: &Replay) {
    let Replayed {
        replayed,
        stale,
        missing,
    } = replay.done;
    println!("{} replayed", pluralize(replayed, "dead letter"));
    if stale > 0 {
        println!("{stale} of them changed no vote: the voter has a newer one");
    }
    if missing > 0 {
        println!("{missing} more were replayed or deleted by another command");
    }
    for (id, reason) in &replay.rejected {
        eprintln!("{id}: {}", escape_control(reason));
    }
}
