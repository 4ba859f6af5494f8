//! Deletes the votes in a poll, for a new round.

use std::{
    io::{self, BufRead, IsTerminal},
    time::Duration,
};

use anyhow::ensure;
use clap::Args;
use cli::duration;
use poll::Poll;
use queue::ShardedQueue;
use store::Store;

use super::{drain, format_counts};

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
            format_counts(store.poll_counts(&poll.id).await?)
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
        drain::wait(queue, self.wait).await?;
        println!("deleted {}", format_counts(store.reset(&poll.id).await?));
        Ok(())
    }
}
