//! What Redis' errors mean to us.

use redis::{ErrorKind::Server, RedisError, ServerErrorKind};

use super::RESPONSE_TIMEOUT;
use crate::queue::QueueError;

pub fn is_group_missing(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}

/// XINFO answers a missing key with a plain ERR.
pub fn is_stream_missing(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("no such key"))
}

pub fn classify(error: &RedisError) -> QueueError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, TryAgain};
    if error.is_timeout() {
        QueueError::Timeout(RESPONSE_TIMEOUT)
    } else if error.is_io_error()
        || error.is_connection_dropped()
        || matches!(
            error.kind(),
            Server(BusyLoading | MasterDown | ClusterDown | TryAgain)
        )
    {
        QueueError::Unavailable(error.to_string())
    } else {
        QueueError::Refused(error.to_string())
    }
}
