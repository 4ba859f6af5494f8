//! Deletes all votes, for a new poll or a new round.

use std::{
    io::{self, BufRead, IsTerminal},
    time::Duration,
};

use anyhow::{bail, ensure};
use clap::Args;
use cli::duration;
use futures_util::future::try_join_all;
use poll::Poll;
use queue::{Queue, ShardedQueue};
use store::{Counts, Store};
use tokio::time::{Instant, sleep};

use super::pluralize;

/// The arguments of `admin reset`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The poll's question as confirmation, for scripts; if not set, the command asks for it at the terminal
    #[arg(long, value_name = "QUESTION")]
    confirm: Option<String>,

    /// Maximum time to wait until every ballot accepted so far is counted
    #[arg(long, default_value = "30s", value_parser = duration)]
    wait: Duration,
}

const POLL_INTERVAL: Duration = Duration::from_millis(50);

impl Settings {
    /// Checks that the reset is confirmed, or can be confirmed at a terminal, before anything is opened.
    pub(super) fn check(&self, poll: &Poll) -> anyhow::Result<()> {
        let question = &poll.question;
        match &self.confirm {
            Some(confirmed) => ensure!(
                confirmed == question,
                "--confirm is {confirmed:?}, but the poll's question is {question:?}; nothing was deleted"
            ),
            None => ensure!(
                io::stdin().is_terminal(),
                "confirmation needs a terminal; give --confirm with the poll's question, {question:?}"
            ),
        }
        Ok(())
    }

    /// Resets the store. `location` describes the store in messages.
    pub(super) async fn run(
        &self,
        store: &Store,
        queue: &ShardedQueue,
        poll: &Poll,
        location: &str,
    ) -> anyhow::Result<()> {
        let question = &poll.question;
        println!(
            "This deletes {} of the poll {question:?} in {location}.",
            format_counts(store.counts().await?)
        );
        println!("Browsers still remember their last choice.");
        if self.confirm.is_none() {
            println!("Type the question to continue:");
            let mut typed = String::new();
            io::stdin().lock().read_line(&mut typed)?;
            ensure!(
                typed.trim() == question,
                "that is not the question; nothing was deleted"
            );
        }
        let drained = queue
            .shards()
            .iter()
            .map(|shard| self.wait_until_drained(shard));
        try_join_all(drained).await?;
        println!("deleted {}", format_counts(store.reset().await?));
        Ok(())
    }

    /// Waits until the ballots accepted so far are counted. Ballots accepted during the wait count for the new round; waiting for
    /// them too would not end while votes arrive.
    async fn wait_until_drained(&self, queue: &Queue) -> anyhow::Result<()> {
        let Some(last_id) = queue.last_id().await? else {
            return Ok(());
        };
        let mut consumer = queue.consumer("admin");
        let deadline = Instant::now() + self.wait;
        loop {
            let backlog = consumer.trim().await?;
            if backlog.oldest.is_none_or(|oldest| oldest > last_id) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "after {:?} some accepted ballots are still not counted ({} waiting, {} with a worker), so nothing was deleted; \
                     a worker must run; if it does, close the poll or wait longer with --wait",
                    self.wait,
                    backlog.lag,
                    backlog.pending
                );
            }
            sleep(POLL_INTERVAL).await;
        }
    }
}

fn format_counts(counts: Counts) -> String {
    format!(
        "{} and {}",
        pluralize(counts.votes, "vote"),
        pluralize(counts.dead_letters, "dead letter")
    )
}
