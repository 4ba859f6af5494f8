//! Errors with which a node redirects a command to another node.

use redis::{Client, ConnectionAddr, ErrorKind, RedisError, ServerErrorKind};

/// Returns true if the stream has moved to another node, which the error names. The command was not executed.
pub fn is_moved(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::Moved))
}

/// Returns true if the stream is moving to another node. The command was not executed and can be retried.
pub fn is_resharding(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Ask | Moved | TryAgain))
}

/// Returns a client for the node that a redirection names, with the same user; `None` if the error names no node.
pub fn redirected(error: &RedisError, from: &Client) -> Option<Client> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let (host, port) = (host.to_owned(), port.parse().ok()?);
    let info = from.get_connection_info();
    let address = match info.addr().clone() {
        ConnectionAddr::Tcp(current, _) => ConnectionAddr::Tcp(known_or(host, current), port),
        ConnectionAddr::TcpTls {
            host: current,
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: known_or(host, current),
            port,
            insecure,
            tls_params,
        },
        _ => return None,
    };
    Client::open(info.clone().set_addr(address)).ok()
}

/// Returns the host of the redirection. A node that does not know its own host leaves it out: it is the host of the node
/// that replied.
fn known_or(host: String, current: String) -> String {
    if matches!(&*host, "" | "?") {
        current
    } else {
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_changes_the_address_and_nothing_else() {
        let moved = |to: &str| {
            let reply = format!("-MOVED 866 {to}\r\n");
            redis::parse_redis_value(reply.as_bytes())
                .unwrap()
                .extract_error()
                .unwrap_err()
        };
        let from = Client::open("rediss://user:secret@a.example.org:6379").unwrap();
        for (to, host, port) in [
            ("10.0.0.2:6380", "10.0.0.2", 6380),
            (":6381", "a.example.org", 6381),
            ("?:6382", "a.example.org", 6382),
            ("::1:6383", "::1", 6383),
        ] {
            let client = redirected(&moved(to), &from).unwrap();
            let (info, before) = (client.get_connection_info(), from.get_connection_info());
            let expected = ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: false,
                tls_params: None,
            };
            assert_eq!(info.addr(), &expected);
            assert_eq!(
                info.redis_settings().password(),
                before.redis_settings().password()
            );
            assert_eq!(
                info.redis_settings().username(),
                before.redis_settings().username()
            );
        }
        assert!(redirected(&moved("nowhere"), &from).is_none());
    }
}
