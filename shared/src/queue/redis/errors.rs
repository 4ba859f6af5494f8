//! What Redis' errors mean to us.

use redis::{ErrorKind, RedisError, ServerErrorKind};

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

/// XSETID refuses with a plain ERR, too.
pub fn is_id_too_small(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("smaller than"))
}

/// Whether a connection that got this answer will never get a better one, though it stays open: the server is a replica
/// by now or loads a master's data, or it did not answer at all. To connect again may lead to another server. Nor does
/// the library try again by itself after a greeting that was refused, though the password may be right by now.
pub fn is_beyond_help(error: &RedisError) -> bool {
    use ErrorKind::{AuthenticationFailed, Io, Parse, RESP3NotSupported, Server};
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    match error.kind() {
        Server(kind) => matches!(kind, BusyLoading | MasterDown | ReadOnly),
        Io => error.is_timeout() || !error.is_connection_dropped(),
        AuthenticationFailed | Parse | RESP3NotSupported => true,
        _ => matches!(error.code(), Some("WRONGPASS" | "NOAUTH")),
    }
}

/// Whether no server answered: another node of its cluster may.
pub fn is_gone(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Whether another node of the cluster has the stream now, which the error names.
pub fn is_moved(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved))
}

/// Whether nothing was done, and that for the moment only: a cluster gives the stream to another node.
pub fn is_on_its_way(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Ask | Moved | TryAgain))
}

/// What an operator can do about it, where the server's own words do not say.
fn advice(error: &RedisError) -> &'static str {
    let code = match error.kind() {
        // The library keeps this one's words to itself.
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => error.code(),
    };
    match code {
        Some("WRONGPASS" | "NOAUTH") => {
            "; QUEUE_URL must name a user and password that this server knows"
        }
        Some("NOPERM") => "; the user in QUEUE_URL has not all the rights that this service needs",
        Some("READONLY" | "MASTERDOWN") => "; QUEUE_URL must name the primary",
        _ => "",
    }
}

pub fn classify(error: &RedisError) -> QueueError {
    use ErrorKind::Server;
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown};
    let message = || format!("{error}{}", advice(error));
    if error.is_timeout() {
        QueueError::Timeout(RESPONSE_TIMEOUT)
    } else if error.is_io_error()
        || error.is_connection_dropped()
        || is_on_its_way(error)
        || matches!(error.kind(), Server(BusyLoading | MasterDown | ClusterDown))
    {
        QueueError::Unavailable(message())
    } else {
        QueueError::Refused(message())
    }
}
