//! The queue in shards: one for each URL, mostly a single one.
//!
//! A voter's ballots are all in one shard, which keeps their order. Shards know nothing of each other: one that is lost
//! holds up nobody but its own voters. `docs/sharding.md` says how to set them up.

use std::sync::Arc;

use super::{OpenQueueError, Queue, QueueConfig, QueueUrl, redis, sqlite::SqliteQueue};
use embedded::Database;
use service::probe::Check;

/// All shards. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct ShardedQueue(Arc<[Queue]>);

impl ShardedQueue {
    /// Opens every shard. A Redis that does not answer yet is no error here: calls fail until it does.
    ///
    /// # Errors
    /// The embedded file cannot be used, or a URL cannot be turned into a connection.
    pub async fn open(config: &QueueConfig) -> Result<Self, OpenQueueError> {
        let shards = match &config.url {
            QueueUrl::Sqlite(path) => {
                let database = Database::open(path).await?;
                vec![Queue::Sqlite(SqliteQueue::new(database, config))]
            }
            QueueUrl::Redis(servers) => redis::open(servers, config)?
                .into_iter()
                .map(|shard| Queue::Redis(Box::new(shard)))
                .collect(),
        };
        Ok(Self(shards.into()))
    }

    /// Writes what is kept beside an embedded file into it; to be called when nothing writes any more.
    pub async fn settle(&self) {
        for shard in self.shards() {
            if let Queue::Sqlite(queue) = shard {
                queue.settle().await;
            }
        }
    }

    /// Returns the check that fails where the embedded file is no longer at its path.
    #[must_use]
    pub fn removed(&self) -> Option<Check> {
        self.shards().iter().find_map(|shard| match shard {
            Queue::Sqlite(queue) => queue.removed(),
            Queue::Redis(_) => None,
        })
    }

    /// The shards, in the order of their URLs. There is at least one; [`VoterId::shard`](poll::ballot::VoterId::shard) is
    /// the index of the one that has all ballots of a voter.
    #[must_use]
    pub fn shards(&self) -> &[Queue] {
        &self.0
    }
}
