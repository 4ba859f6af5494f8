//! Consumers of the queue: how a worker reads, claims and acknowledges ballots.

use std::time::Duration;

use poll::ballot::BallotId;

use crate::{QueueError, StreamEntry, redis::RedisConsumer, sqlite::SqliteConsumer};

/// Maximum time by which the queue's clock may be ahead of a worker's clock. Ids that are further ahead count as ids from
/// the future.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A consumer of one shard. Entries that it has read are pending until it acknowledges them or, when they have been
/// pending for long enough, another consumer claims them.
pub enum Consumer {
    /// Reads the embedded file.
    Sqlite(SqliteConsumer),
    /// Reads the Redis stream.
    Redis(Box<RedisConsumer>),
}

/// Result of a claim.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Entries that were pending at another consumer for too long and are now pending at this one.
    pub entries: Vec<StreamEntry>,
    /// Ids of entries that were deleted from the queue while they were pending: their content is lost.
    pub deleted: Vec<BallotId>,
}

/// Ballots that were accepted and are not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Number of entries delivered to a consumer.
    pub pending: u64,
    /// Number of entries not yet delivered.
    pub lag: u64,
    /// Id of the oldest of both.
    pub oldest: Option<BallotId>,
    /// The last generated id, in the shard's own numbers.
    pub last: BallotId,
    /// Number of entries that were ever added; `None` if unknown.
    pub added: Option<u64>,
    /// Number of entries that were deleted before they were delivered. It can be determined only until the next delivery.
    pub removed: u64,
}

impl Backlog {
    /// Returns true if all accepted ballots are acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.oldest.is_none() && self.pending + self.lag == 0
    }
}

impl Consumer {
    /// Reads the next undelivered entries, oldest first and at most `max`. Returns none if none arrives within `wait`.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn read(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.read(max, wait).await,
            Self::Redis(consumer) => consumer.read(max, wait).await,
        }
    }

    /// Claims at most `max` entries that have been pending at another consumer for `idle` or longer.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn claim(&mut self, max: usize, idle: Duration) -> Result<Claimed, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.claim(max, idle).await,
            Self::Redis(consumer) => consumer.claim(max, idle).await,
        }
    }

    /// Acknowledges entries that are stored. Idempotent.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.acknowledge(ids).await,
            Self::Redis(consumer) => consumer.acknowledge(ids).await,
        }
    }

    /// Returns the backlog of the shard, over all consumers.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn backlog(&mut self) -> Result<Backlog, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.backlog().await,
            Self::Redis(consumer) => consumer.backlog().await,
        }
    }

    /// Trims acknowledged entries and returns the backlog.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn trim(&mut self) -> Result<Backlog, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.backlog().await,
            Self::Redis(consumer) => consumer.trim().await,
        }
    }

    /// Returns true if the queue may be new and [`Self::raise_last_id`] has not been called for it.
    #[must_use]
    pub fn needs_id_check(&self) -> bool {
        match self {
            Self::Sqlite(_) => false, // the file holds the last id beside the ballots
            Self::Redis(consumer) => consumer.needs_id_check(),
        }
    }

    /// Makes all later ids greater than every id of this millisecond, regardless of the queue's clock.
    ///
    /// # Errors
    /// The queue is unreachable or rejects the command.
    pub async fn raise_last_id(&mut self, ms: u64) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis(consumer) => consumer.raise_last_id(ms).await,
        }
    }

    /// Returns true if this shard holds the ballots of all voters.
    #[must_use]
    pub fn is_only_shard(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Redis(consumer) => consumer.is_only_shard(),
        }
    }

    /// Makes ids follow the queue's clock again if the queue is empty and `last` is still the last generated id. Returns
    /// true if it did.
    ///
    /// # Errors
    /// The queue is unreachable or rejects the command.
    pub async fn restart_ids(&mut self, last: BallotId) -> Result<bool, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.restart_ids(last).await,
            Self::Redis(consumer) => consumer.restart_ids(last).await,
        }
    }

    /// Removes other consumers that have no pending entries and have been idle for `idle`. Returns their number.
    ///
    /// # Errors
    /// The queue is unreachable or rejects the command.
    pub async fn remove_idle_consumers(&mut self, idle: Duration) -> Result<u64, QueueError> {
        match self {
            Self::Sqlite(_) => Ok(0), // a consumer's name exists only beside its pending entries
            Self::Redis(consumer) => consumer.remove_idle_consumers(idle).await,
        }
    }

    /// Removes this consumer from the group. Its pending entries, if any, remain for others to claim.
    ///
    /// # Errors
    /// The queue is unreachable.
    pub async fn remove_consumer(self) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis(consumer) => consumer.remove_consumer().await,
        }
    }
}
