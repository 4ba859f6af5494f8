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

use super::counted;

/// How to reset.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The poll's question, for scripts; if not set, it is asked for at the terminal
    #[arg(long, value_name = "QUESTION")]
    confirm: Option<String>,

    /// How long to wait until every ballot accepted so far is counted
    #[arg(long, default_value = "30s", value_parser = duration)]
    wait: Duration,
}

const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Settings {
    /// Whether somebody has confirmed it, or can: before anything is opened.
    pub(super) fn check(&self, poll: &Poll) -> anyhow::Result<()> {
        let question = &poll.question;
        match &self.confirm {
            Some(confirmed) => ensure!(
                confirmed == question,
                "--confirm is {confirmed:?}, but the poll's question is {question:?}; nothing was deleted"
            ),
            None => ensure!(
                io::stdin().is_terminal(),
                "nobody can confirm this, for there is no terminal; give --confirm with the poll's question, {question:?}"
            ),
        }
        Ok(())
    }

    /// `place`: where the store is, in words.
    pub(super) async fn run(
        &self,
        store: &Store,
        queue: &ShardedQueue,
        poll: &Poll,
        place: &str,
    ) -> anyhow::Result<()> {
        let question = &poll.question;
        println!(
            "This deletes {} of the poll {question:?} in {place}.",
            described(store.counts().await?)
        );
        println!("Browsers still remember their last choice.");
        if self.confirm.is_none() {
            println!("Type the question to go on:");
            let mut typed = String::new();
            io::stdin().lock().read_line(&mut typed)?;
            ensure!(
                typed.trim() == question,
                "that is not the question; nothing was deleted"
            );
        }
        let shards = queue.shards().iter().map(|shard| self.until_counted(shard));
        try_join_all(shards).await?;
        println!("deleted {}", described(store.reset().await?));
        Ok(())
    }

    /// Waits for the ballots that were accepted before: those accepted meanwhile count for the new round, and waiting for
    /// them too would not end while people vote.
    async fn until_counted(&self, queue: &Queue) -> anyhow::Result<()> {
        let Some(newest) = queue.last_id().await? else {
            return Ok(());
        };
        let mut looker = queue.consumer("admin");
        let deadline = Instant::now() + self.wait;
        loop {
            let backlog = looker.trim().await?;
            if backlog.oldest.is_none_or(|oldest| oldest > newest) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "after {:?} some accepted ballots are still not counted ({} waiting, {} with a worker), so nothing was deleted; \
                     a worker must run, and if it runs, stop the voting or give it more time with --wait",
                    self.wait,
                    backlog.lag,
                    backlog.pending
                );
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

fn described(contents: Counts) -> String {
    format!(
        "{} and {}",
        counted(contents.votes, "vote"),
        counted(contents.dead_letters, "dead letter")
    )
}
