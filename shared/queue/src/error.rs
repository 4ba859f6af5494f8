//! Errors of the queue.

use std::time::Duration;

use embedded::OpenError;

/// Reason why the queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenQueueError {
    /// The embedded file cannot be used.
    #[error(transparent)]
    Sqlite(#[from] OpenError),
    /// The library cannot create a client for the URL.
    #[error("QUEUE_URL")]
    Redis(#[from] redis::RedisError),
}

/// Reason why an operation on the queue failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// No reply in time; the operation may still take effect.
    #[error("the queue did not reply within {0:?}")]
    Timeout(Duration),
    /// The queue is unreachable or the connection broke; the operation may have taken effect.
    #[error("the queue is unreachable: {0}")]
    Unavailable(String),
    /// The queue replied with an error: out of memory, a full disk, missing permissions.
    #[error("the queue rejected the command: {0}")]
    Rejected(String),
}

impl QueueError {
    /// Returns the type of the error for traces.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::Rejected(_) => "rejected",
        }
    }
}
