//! The queue with all its shards: one for each URL, often a single one.
//!
//! All ballots of a voter are in one shard, in order. Shards are independent: an outage of one affects only its own
//! voters. `docs/sharding.md` describes how to set them up.

use std::sync::Arc;

use super::{OpenQueueError, Queue, QueueConfig, QueueUrl, redis, sqlite::SqliteQueue};
use embedded::Database;

/// All shards. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct ShardedQueue(Arc<[Queue]>);

impl ShardedQueue {
    /// Opens every shard. An unreachable Redis is no error here: operations fail until it is reachable.
    ///
    /// # Errors
    /// The embedded file cannot be used, or the library cannot create a client for a URL.
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

    /// Moves the write-ahead log of an embedded file into the file. To be called after the last write.
    pub async fn checkpoint(&self) {
        for shard in self.shards() {
            if let Queue::Sqlite(queue) = shard {
                queue.checkpoint().await;
            }
        }
    }

    /// Checks that the embedded file, if there is one, is still at its path.
    ///
    /// # Errors
    /// The file was removed, moved or replaced.
    pub fn ensure_file_in_place(&self) -> std::io::Result<()> {
        self.shards().iter().try_for_each(|shard| match shard {
            Queue::Sqlite(queue) => queue.ensure_file_in_place(),
            Queue::Redis(_) => Ok(()),
        })
    }

    /// Returns the shards, at least one, in the order of their URLs. [`VoterId::shard`](poll::ballot::VoterId::shard) is
    /// the index of a voter's shard.
    #[must_use]
    pub fn shards(&self) -> &[Queue] {
        &self.0
    }
}
