//! Administration of votes and dead letters. The commands run on the command line only, never over HTTP, and work while the
//! services run.

mod backup;
mod counts;
mod dead_letters;
mod drain;
mod export;
mod forget;
mod output;
mod polls;
mod replay;
mod reset;
mod restart_ids;

use std::path::Path;

use anyhow::ensure;
use clap::Subcommand;
use queue::{QueueUrl, ShardedQueue};
use store::{Counts, Store, StoreUrl};

use crate::Config;

/// The administration commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the dead letters, oldest first, with reason and payload
    DeadLetters(dead_letters::Settings),
    /// List the polls whose votes are in the store, oldest first, with their numbers of votes
    Polls,
    /// Reprocess dead letters, for example after an option was added to POLL_OPTIONS
    ///
    /// Parses each dead letter again with the current poll. A valid ballot is counted with its original id, so that it never
    /// overwrites a newer vote by the same voter, and is removed from the dead letters. All others stay. The command is
    /// idempotent and can be repeated after an interruption.
    Replay(replay::Settings),
    /// Write stored votes as CSV: poll, voter, choice, cast_at
    ///
    /// Exports a consistent snapshot of all polls, or of one, ordered by voter. A voter has another id in each poll. cast_at is empty if unknown, as for votes imported from the original app. A
    /// text that a spreadsheet would read as a formula is prefixed with a single quote.
    Export(export::Settings),
    /// Delete the votes and dead letters of one voter in all polls
    ///
    /// For a voter who asks for it and sends the voter id that their voting page shows. Waits until every ballot accepted so far is
    /// counted. Backups and exports that were made before still contain the votes.
    Forget(forget::Settings),
    /// Compare the tally and the timeline with the votes; fails if they differ
    ///
    /// Triggers update both with every vote, so they differ only if votes were loaded without the triggers or the counts were changed
    /// by hand.
    Check,
    /// Recount all votes, and print the corrected differences of the tally and the timeline
    ///
    /// No votes are stored during the recount. Voting continues.
    Recount,
    /// Copy the embedded database into a new file, while the services run
    ///
    /// The copy is a consistent snapshot of all data, including an embedded queue. For Postgres use pg_dump.
    Backup(backup::Settings),
    /// Restart the ids of new ballots at the current time, after an id from the future
    ///
    /// Stop all workers first. This command then stores the queued ballots itself, while voting continues. When the queue is empty,
    /// it moves the times of stored votes back to the present. Works only for a queue with one shard.
    RestartIds,
    /// Delete the votes and dead letters of the poll, for a new round
    ///
    /// Other polls stay. Asks for the poll's question first. Waits until every ballot accepted so far is counted, so that none of them is
    /// counted after the reset. Votes cast during the reset count for the new round. Browsers still remember their last choice
    /// until they vote again.
    Reset(reset::Settings),
}

impl Command {
    /// Runs the command on the queue and the store of this configuration.
    ///
    /// # Errors
    /// The command failed or was only partly successful; the message gives the reason.
    pub async fn run(&self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::DeadLetters(settings) => settings.run(&store(config).await?).await,
            Self::Polls => polls::list(&store(config).await?, &config.poll).await,
            Self::Replay(settings) => {
                let store = store(config).await?;
                settings
                    .run(&store, &config.poll, config.processor.max_batch_size)
                    .await
            }
            Self::Export(settings) => settings.run(&store(config).await?).await,
            Self::Forget(settings) => {
                let (store, queue) = (store(config).await?, queue(config).await?);
                settings.run(&store, &queue, config).await
            }
            Self::Check => counts::check(&store(config).await?).await,
            Self::Recount => counts::recount(&store(config).await?).await,
            Self::Backup(settings) => settings.run(&store(config).await?).await,
            Self::RestartIds => {
                let (store, queue) = (store(config).await?, queue(config).await?);
                restart_ids::run(&store, &queue, config).await
            }
            Self::Reset(settings) => {
                settings.check(&config.poll)?;
                let (store, queue) = (store(config).await?, queue(config).await?);
                let location = config.store.url.to_string();
                settings.run(&store, &queue, &config.poll, &location).await
            }
        }
    }
}

async fn store(config: &Config) -> anyhow::Result<Store> {
    if let StoreUrl::Sqlite(file) = &config.store.url {
        ensure_exists(file, "DATABASE_URL")?;
    }
    let store = Store::open(&config.store).await?;
    store.migrate(&config.poll.id).await?;
    Ok(store)
}

async fn queue(config: &Config) -> anyhow::Result<ShardedQueue> {
    if let QueueUrl::Sqlite(file) = &config.queue.url {
        ensure_exists(file, "QUEUE_URL")?;
    }
    Ok(ShardedQueue::open(&config.queue).await?)
}

/// Checks that the database exists. A service would create it, which here would hide a wrong path.
fn ensure_exists(file: &Path, variable: &str) -> anyhow::Result<()> {
    ensure!(
        file.exists(),
        "there is no database {}; set {variable}, or DATA_DIR, as for the service",
        file.display()
    );
    Ok(())
}

fn format_counts(counts: Counts) -> String {
    format!(
        "{} and {}",
        pluralize(counts.votes, "vote"),
        pluralize(counts.dead_letters, "dead letter")
    )
}

/// Formats a count with its noun: `1 vote`, `2 votes`.
fn pluralize(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
