//! What Redis' errors mean to us.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::QueueError;

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

/// Whether no server answered: another node of its cluster may.
pub fn is_unreachable(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Whether another node of the cluster has the stream now, which the error names.
pub fn is_moved(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved))
}

/// Whether nothing was done, and that for the moment only: a cluster gives the stream to another node.
pub fn is_resharding(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Ask | Moved | TryAgain))
}

/// An error in words that name its cause.
pub struct Explanation {
    pub text: String,
    /// True if the text names the cause; otherwise a wrong guess about TLS may be it.
    pub is_certain: bool,
}

pub fn explain(error: &RedisError) -> Explanation {
    let certain = |text: String| Explanation {
        text,
        is_certain: true,
    };
    let said = error.to_string();
    let code = match error.kind() {
        // The library keeps this one's words to itself.
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => error.code(),
    };
    let advised = with_advice(code, &said);
    if advised != said {
        return certain(advised);
    }
    if !error.is_io_error() {
        return certain(said);
    }
    if error.is_connection_refusal() && said.contains("refused") {
        return certain("nothing listens there (connection refused)".into());
    }
    // The standard library has no kind for it.
    if said.contains("lookup address") {
        return certain(format!("there is no host of that name ({said})"));
    }
    if said.contains("CertificateRequired") {
        return certain(format!(
            "it demands a certificate of its clients ({said}), and this program has none; set tls-auth-clients no there"
        ));
    }
    if said.contains("certificate") {
        return certain(format!(
            "its TLS certificate is not trusted ({said}); SSL_CERT_FILE must name the authority that signed it, and the \
             host must be one that it names"
        ));
    }
    Explanation {
        text: said,
        is_certain: false,
    }
}

/// Adds to a server's words the advice that they lack, or give for another program.
pub fn with_advice(code: Option<&str>, said: &str) -> String {
    advice(code, said).map_or_else(|| said.to_owned(), |advice| format!("{said}; {advice}"))
}

fn advice(code: Option<&str>, said: &str) -> Option<&'static str> {
    match code {
        Some("WRONGPASS" | "NOAUTH") => {
            Some("QUEUE_URL must name a user and password that this server knows")
        }
        Some("NOPERM") => {
            Some("the user in QUEUE_URL has not all the rights that this service needs")
        }
        Some("READONLY" | "MASTERDOWN") => Some("QUEUE_URL must name the primary"),
        Some("WRONGTYPE") => Some(
            "the key is something else than a stream; rename it, or choose another key with QUEUE_STREAM",
        ),
        _ if said.starts_with("DENIED") => Some(
            "a server in protected mode answers only its own machine: give it a password (requirepass, and the same in \
             QUEUE_URL), or set protected-mode no",
        ),
        Some("NOREPLICAS") => Some("too few replicas follow it (min-replicas-to-write)"),
        _ if said.contains("max number of clients") => {
            Some("raise maxclients there, or start fewer services")
        }
        _ if said.contains("exhausted the last possible ID") => Some(
            "somebody added an entry with the greatest id; when a worker has taken it, stop all workers and run \
             `worker admin restart-ids`",
        ),
        _ => None,
    }
}

/// The same as an error of the queue at this place, which had this time to answer.
pub fn classify(error: &RedisError, place: &str, timeout: Duration) -> QueueError {
    use ErrorKind::Server;
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown};
    let message = || format!("{place}: {}", explain(error).text);
    if error.is_timeout() {
        QueueError::Timeout(timeout)
    } else if error.is_io_error()
        || error.is_connection_dropped()
        || is_resharding(error)
        || matches!(error.kind(), Server(BusyLoading | MasterDown | ClusterDown))
    {
        QueueError::Unavailable(message())
    } else {
        QueueError::Refused(message())
    }
}
