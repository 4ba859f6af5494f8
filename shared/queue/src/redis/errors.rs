//! Classification of Redis' errors.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::cluster::is_resharding;
use crate::QueueError;

pub fn is_group_missing(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}

/// XINFO replies to a missing key with a plain ERR.
pub fn is_stream_missing(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("no such key"))
}

/// XADD and XSETID reply with a plain ERR to an id that is not greater than the last one.
pub fn is_id_too_small(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("smaller than"))
}

/// Returns true if the connection is open but unusable: the server has become a replica, is loading its data or does not reply.
/// A new connection may reach another server. It is needed after a failed login, too: the library does not retry, although
/// the password may be valid now.
pub fn requires_reconnect(error: &RedisError) -> bool {
    use ErrorKind::{AuthenticationFailed, Io, Parse, RESP3NotSupported, Server};
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    match error.kind() {
        Server(kind) => matches!(kind, BusyLoading | MasterDown | ReadOnly),
        Io => error.is_timeout() || !error.is_connection_dropped(),
        AuthenticationFailed | Parse | RESP3NotSupported => true,
        _ => matches!(error.code(), Some("WRONGPASS" | "NOAUTH")),
    }
}

/// Returns true if the server is unreachable. Another node of its cluster may be reachable.
pub fn is_unreachable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Description of an error.
pub struct Explanation {
    pub text: String,
    /// True if the text names the cause. Otherwise the cause may be a wrong setting of TLS.
    pub is_certain: bool,
}

pub fn explain(error: &RedisError) -> Explanation {
    let certain = |text: String| Explanation {
        text,
        is_certain: true,
    };
    let text = error.to_string();
    let code = match error.kind() {
        // The library does not keep the code of this error.
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => error.code(),
    };
    let advised = with_advice(code, &text);
    if advised != text {
        return certain(advised);
    }
    if !error.is_io_error() {
        return certain(text);
    }
    if error.is_connection_refusal() && text.contains("refused") {
        return certain("nothing listens there (connection refused)".into());
    }
    // The standard library has no error kind for this.
    if text.contains("lookup address") {
        return certain(format!("there is no host of that name ({text})"));
    }
    if text.contains("CertificateRequired") {
        return certain(format!(
            "it requires client certificates ({text}), and this program has none; set tls-auth-clients no on the server"
        ));
    }
    if text.contains("certificate") {
        return certain(format!(
            "its TLS certificate is not trusted ({text}); SSL_CERT_FILE must name the authority that signed it, and the \
             host must be one that it names"
        ));
    }
    Explanation {
        text,
        is_certain: false,
    }
}

/// Adds advice to a server's error where the error has none, or advice that does not fit.
pub fn with_advice(code: Option<&str>, text: &str) -> String {
    advice(code, text).map_or_else(|| text.to_owned(), |advice| format!("{text}; {advice}"))
}

fn advice(code: Option<&str>, text: &str) -> Option<&'static str> {
    match code {
        Some("WRONGPASS" | "NOAUTH") => {
            Some("QUEUE_URL must name a user and password that this server accepts")
        }
        Some("NOPERM") => Some("the user in QUEUE_URL lacks permissions that this service needs"),
        Some("READONLY" | "MASTERDOWN") => Some("QUEUE_URL must name the primary"),
        Some("WRONGTYPE") => {
            Some("the key is not a stream; rename it, or choose another key with QUEUE_STREAM")
        }
        _ if text.starts_with("DENIED") => Some(
            "a server in protected mode accepts local connections only: set a password (requirepass, and the same in \
             QUEUE_URL), or set protected-mode no",
        ),
        Some("NOREPLICAS") => Some("too few replicas are in sync (min-replicas-to-write)"),
        _ if text.contains("max number of clients") => {
            Some("raise maxclients on the server, or run fewer services")
        }
        _ if text.contains("exhausted the last possible ID") => Some(
            "an entry with the greatest possible id was added by hand; after a worker has stored it, stop all workers and \
             run `worker admin restart-ids`",
        ),
        _ => None,
    }
}

/// Converts to an error of the queue. `location` names the server, and `timeout` is the timeout of a reply.
pub fn classify(error: &RedisError, location: &str, timeout: Duration) -> QueueError {
    use ErrorKind::Server;
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown};
    let message = || format!("{location}: {}", explain(error).text);
    if error.is_timeout() {
        QueueError::Timeout(timeout)
    } else if error.is_io_error()
        || error.is_connection_dropped()
        || is_resharding(error)
        || matches!(error.kind(), Server(BusyLoading | MasterDown | ClusterDown))
    {
        QueueError::Unavailable(message())
    } else {
        QueueError::Rejected(message())
    }
}
