//! What operators do with the votes and the dead letters: on the command line only, never over HTTP, and while the
//! services run.

mod backup;
mod counts;
mod dead_letters;
mod export;
mod output;
mod replay;
mod reset;
mod restart_ids;

use std::path::Path;

use anyhow::ensure;
use clap::Subcommand;
use queue::{QueueUrl, ShardedQueue};
use store::{Store, StoreUrl};

use crate::Config;

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List what could not be counted, oldest first, with the reason and the content
    DeadLetters(dead_letters::Settings),
    /// Count dead letters after all, each in its own place, such as after an option was added to POLL_OPTIONS
    ///
    /// Each is opened again with the poll as it is set now. One that is a ballot now is counted with the id it had, so
    /// that it never replaces a newer vote of its voter, and is a dead letter no more; any other stays. Doing it twice,
    /// or again after it was interrupted, changes nothing more.
    Replay(replay::Settings),
    /// Write all standing votes as CSV: voter, choice, cast_at
    ///
    /// They are those of one moment, in the order of the voters. cast_at is empty where it is not known, as for votes
    /// taken over from the original app. A text that a spreadsheet would take for a formula has a single quote in front.
    Export(export::Settings),
    /// Compare the tally and the timeline with the votes, and fail where they differ
    ///
    /// They are counted with every vote and so are equal, unless somebody loaded votes past the triggers or changed the
    /// counts by hand.
    Check,
    /// Count all votes anew, and print what was wrong with the tally and the timeline
    ///
    /// No vote is stored meanwhile; voters notice nothing.
    Recount,
    /// Copy the embedded database into a new file, while the services run
    ///
    /// Everything is in it, the queue too, as it was at one moment. For Postgres use pg_dump.
    Backup(backup::Settings),
    /// Let the ids of new ballots follow the clock again, after one of them was from the future
    ///
    /// Stop all workers first: this command counts what waits in their place, while voting goes on, and brings the stored
    /// votes back to the present when nothing waits. For a queue in one shard.
    RestartIds,
    /// Delete all votes and dead letters, for a new poll or a new round
    ///
    /// Asks for the poll's question first. Every ballot accepted so far is counted before, so none of them turns up
    /// afterwards; what is cast meanwhile counts for the new round. Browsers still remember their last choice and show
    /// it, until they vote again.
    Reset(reset::Settings),
}

impl Command {
    /// Carries the command out on the queue and the store of this configuration.
    ///
    /// # Errors
    /// It could not be done, or not all of it; the message says what and why.
    pub async fn run(&self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::DeadLetters(settings) => settings.run(&store(config).await?).await,
            Self::Replay(settings) => {
                let store = store(config).await?;
                settings.run(&store, &config.poll, config.pace.batch).await
            }
            Self::Export(settings) => settings.run(&store(config).await?).await,
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
                let place = config.store.url.to_string();
                settings.run(&store, &queue, &config.poll, &place).await
            }
        }
    }
}

async fn store(config: &Config) -> anyhow::Result<Store> {
    if let StoreUrl::Sqlite(file) = &config.store.url {
        ensure_exists(file, "DATABASE_URL")?;
    }
    let store = Store::open(&config.store).await?;
    store.migrate().await?;
    Ok(store)
}

async fn queue(config: &Config) -> anyhow::Result<ShardedQueue> {
    if let QueueUrl::Sqlite(file) = &config.queue.url {
        ensure_exists(file, "QUEUE_URL")?;
    }
    Ok(ShardedQueue::open(&config.queue).await?)
}

/// A service makes the file where it is missing. Here that would hide that somebody looks in the wrong place.
fn ensure_exists(file: &Path, variable: &str) -> anyhow::Result<()> {
    ensure!(
        file.exists(),
        "there is no database {}; set {variable}, or DATA_DIR, as for the service",
        file.display()
    );
    Ok(())
}

/// `1 vote`, `2 votes`.
fn counted(count: u64, one: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {one}{many}")
}
