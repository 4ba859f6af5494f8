//! The queue: stores every accepted ballot until a worker has stored the vote.
//!
//! Two backends with the same behaviour, chosen by the URL: an embedded SQLite file, or a Redis stream with a consumer
//! group. `tests/queue_contract` tests the contract of both. A Redis queue can be sharded over several servers by voter.

mod consumer;
mod durability;
mod error;
mod payload;
mod redis;
mod settings;
mod sharded;
mod spans;
mod sqlite;
mod stream_entry;
mod url;

use std::time::Duration;

pub use consumer::{Backlog, Claimed, Consumer, MAX_CLOCK_SKEW};
pub use durability::{Durability, DurabilityCheck};
pub use error::{OpenQueueError, QueueError};
pub use payload::UnreadablePayload;
use poll::ballot::{Ballot, BallotId};
use redis::RedisQueue;
pub use settings::{InvalidQueueSettings, QueueSettings};
pub use sharded::ShardedQueue;
pub use spans::ProducerSpan;
use sqlite::SqliteQueue;
pub use stream_entry::{InvalidBallot, StreamEntry};
pub use url::{InvalidQueueUrl, QueueUrl};

/// Configuration of the queue.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// The queue's servers or file.
    pub url: QueueUrl,
    /// Key of the Redis stream. Polls that share a Redis need different streams.
    pub stream: String,
    /// Source of what is known about the server's durability.
    pub durability: DurabilityCheck,
    /// Timeout of one enqueue. After it the ballot may or may not be queued.
    pub enqueue_timeout: Duration,
}

/// One shard of the queue; often the only one. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub enum Queue {
    /// An embedded file.
    Sqlite(SqliteQueue),
    /// A Redis stream.
    Redis(Box<RedisQueue>),
}

/// Name of the table of ballots in an embedded file.
const BALLOTS_TABLE: &str = "ballots";

impl Queue {
    /// Returns the stream's key or the table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Sqlite(_) => BALLOTS_TABLE,
            Self::Redis(queue) => queue.stream(),
        }
    }

    /// Returns true if the queue writes one batch at a time: a second batch waits until the first one is committed, so
    /// batches in parallel are only smaller and slower. A Redis server commits all commands that arrive together with
    /// one fsync.
    #[must_use]
    pub fn is_serial(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Enqueues a ballot durably and returns its id.
    ///
    /// # Errors
    /// The ballot is not in the queue; after [`QueueError::Timeout`] and [`QueueError::Unavailable`] it may be.
    pub async fn enqueue(&self, ballot: &Ballot) -> Result<BallotId, QueueError> {
        self.enqueue_all(&[ballot]).await.remove(0)
    }

    /// Enqueues a batch of ballots, each as [`enqueue`](Self::enqueue) does but at a lower cost. Returns one result for
    /// each ballot, in the order of the ballots. A Redis queue may accept some and fail on others; an embedded queue
    /// writes the whole batch in one transaction.
    pub async fn enqueue_all(&self, ballots: &[&Ballot]) -> Vec<Result<BallotId, QueueError>> {
        match self {
            Self::Sqlite(queue) => queue.enqueue_all(ballots).await,
            Self::Redis(queue) => queue.enqueue_all(ballots).await,
        }
    }

    /// Checks that the queue accepts ballots.
    ///
    /// # Errors
    /// The queue is unreachable or rejects writes.
    pub async fn check_write(&self) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(queue) => queue.check_write().await,
            Self::Redis(queue) => queue.check_write().await,
        }
    }

    /// Checks that the queue accepts acknowledgements.
    ///
    /// # Errors
    /// The queue is unreachable or rejects writes.
    pub async fn check_ack(&self) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(queue) => queue.check_write().await,
            Self::Redis(queue) => queue.check_ack().await,
        }
    }

    /// Returns the id of the newest ballot in the queue, pending or not; `None` if the queue is empty.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn last_id(&self) -> Result<Option<BallotId>, QueueError> {
        match self {
            Self::Sqlite(queue) => queue.last_id().await,
            Self::Redis(queue) => queue.last_id().await,
        }
    }

    /// Returns the durability of accepted ballots, according to the server's settings.
    ///
    /// # Errors
    /// The server is unreachable.
    pub async fn durability(&self) -> Result<Durability, QueueError> {
        match self {
            Self::Sqlite(_) => Ok(Durability::Full),
            Self::Redis(queue) => queue.durability().await,
        }
    }

    /// Returns a consumer of the queue. `name` must be unique among all consumers.
    #[must_use]
    pub fn consumer(&self, name: &str) -> Consumer {
        match self {
            Self::Sqlite(queue) => Consumer::Sqlite(queue.consumer(name)),
            Self::Redis(queue) => Consumer::Redis(Box::new(queue.consumer(name))),
        }
    }
}
