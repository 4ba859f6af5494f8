//! Deletes the votes of one voter.

use std::time::Duration;

use clap::Args;
use cli::duration;
use poll::ballot::VoterId;
use queue::ShardedQueue;
use store::Store;

use super::{drain, format_counts};
use crate::Config;

/// The arguments of `admin forget`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Id of the voter, 32 hexadecimal digits, as their voting page shows it
    #[arg(value_name = "VOTER-ID")]
    voter: VoterId,

    /// Maximum time to wait until every ballot accepted so far is counted
    #[arg(long, default_value = "30s", value_parser = duration)]
    wait: Duration,
}

impl Settings {
    pub(super) async fn run(
        &self,
        store: &Store,
        queue: &ShardedQueue,
        config: &Config,
    ) -> anyhow::Result<()> {
        drain::wait(queue, self.wait).await?;
        let recorded = store
            .polls()
            .await?
            .into_iter()
            .map(|recorded| recorded.poll.id);
        let polls = recorded.chain([config.poll.id.clone()]);
        // The store has another id of the voter for each poll.
        let ids: Vec<_> = polls.map(|poll| self.voter.in_poll(&poll)).collect();
        println!("deleted {}", format_counts(store.forget(&ids).await?));
        Ok(())
    }
}
