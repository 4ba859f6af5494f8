//! The servers at which a shard's stream may be: that of its own URL, and, in a Redis Cluster, any other of its nodes.

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, RedisError, RedisResult,
    aio::MultiplexedConnection, cmd,
};
use tokio::net::lookup_host;

use super::{CONNECT_TIMEOUT, PROBE_TIMEOUT};

/// The servers that QUEUE_URL names, as one shard sees them.
#[derive(Debug)]
pub struct Nodes {
    /// The one its URL names.
    own: Client,
    /// Those of the other shards. They are asked for the way, and only in the same cluster: a server of its own would
    /// take this shard's ballots, and nobody would look for them there.
    others: Vec<Client>,
}

impl Nodes {
    pub fn new(own: Client, others: Vec<Client>) -> Self {
        Self { own, others }
    }

    pub fn own(&self) -> &Client {
        &self.own
    }

    /// Whether the stream may be at another server than at this one.
    pub fn has_others_than(&self, client: &Client) -> bool {
        !self.others.is_empty() || !is_same(client, &self.own)
    }

    /// A server that can be asked: the own one if it answers, else another of its cluster, which says where the stream is.
    /// Where none answers it is the own one again, which then says why.
    pub async fn locate(&self) -> &Client {
        if ask(&self.own, &cmd("PING")).await.is_ok() {
            return &self.own;
        }
        let names = self.own_names().await;
        let mut nodes = cmd("CLUSTER");
        nodes.arg("NODES");
        for other in &self.others {
            if let Ok(nodes) = ask(other, &nodes).await
                && lists(&nodes, &names)
            {
                return other;
            }
        }
        &self.own
    }

    /// The own server's address, as it is written, and as a cluster may list it.
    async fn own_names(&self) -> Vec<String> {
        let Some((host, port)) = host_and_port(&self.own) else {
            return Vec::new();
        };
        let resolved = lookup_host((host, port)).await;
        let resolved = resolved.into_iter().flatten();
        let resolved = resolved.map(|address| format!("{}:{port}", address.ip()));
        std::iter::once(format!("{host}:{port}"))
            .chain(resolved)
            .collect()
    }
}

/// The server that a redirection names, as the same user; `None`: it is none, or names nobody.
pub fn redirected(error: &RedisError, from: &Client) -> Option<Client> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let (host, port) = (host.to_owned(), port.parse().ok()?);
    let info = from.get_connection_info();
    let address = match info.addr().clone() {
        ConnectionAddr::Tcp(same, _) => ConnectionAddr::Tcp(known_or(host, same), port),
        ConnectionAddr::TcpTls {
            host: same,
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host: known_or(host, same),
            port,
            insecure,
            tls_params,
        },
        _ => return None,
    };
    Client::open(info.clone().set_addr(address)).ok()
}

/// A node that does not know its name leaves it out: it is that of the one that was asked.
fn known_or(host: String, same: String) -> String {
    if matches!(&*host, "" | "?") {
        same
    } else {
        host
    }
}

pub fn is_same(one: &Client, other: &Client) -> bool {
    one.get_connection_info().addr() == other.get_connection_info().addr()
}

fn host_and_port(client: &Client) -> Option<(&str, u16)> {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some((host, *port))
        }
        _ => None,
    }
}

/// Whether one of these is among a cluster's nodes, up or not. Each line has an id, then `ip:port@port[,host]`.
fn lists(nodes: &str, names: &[String]) -> bool {
    nodes.lines().any(|line| {
        let Some((address, rest)) = line.split(' ').nth(1).and_then(|node| node.split_once('@'))
        else {
            return false;
        };
        let port = address.rsplit(':').next().unwrap_or_default();
        let host = rest.split(',').nth(1).unwrap_or_default();
        names
            .iter()
            .any(|name| *name == address || *name == format!("{host}:{port}"))
    })
}

async fn ask(client: &Client, command: &redis::Cmd) -> RedisResult<String> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(PROBE_TIMEOUT));
    let mut connection: MultiplexedConnection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    command.query_async(&mut connection).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: &str = "\
07c3 10.0.0.1:6379@16379 master,fail - 0 0 1 connected 0-5460
67ed 10.0.0.2:6380@16380,two.example.org slave 07c3 0 0 2 connected
";

    #[test]
    fn only_a_cluster_that_lists_the_own_server_is_asked() {
        for (name, expected) in [
            ("10.0.0.1:6379", true),
            ("10.0.0.2:6380", true),
            ("two.example.org:6380", true),
            ("two.example.org:6379", false),
            ("10.0.0.3:6379", false),
            ("0.0.0.1:6379", false),
        ] {
            assert_eq!(lists(NODES, &[name.to_owned()]), expected, "{name}");
        }
        assert!(!lists("", &["10.0.0.1:6379".to_owned()]));
    }

    #[test]
    fn a_redirection_changes_the_address_and_nothing_else() {
        let moved = |to: &str| {
            let answer = format!("-MOVED 866 {to}\r\n");
            redis::parse_redis_value(answer.as_bytes())
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
            assert_eq!(host_and_port(&client), Some((host, port)));
            let (info, before) = (client.get_connection_info(), from.get_connection_info());
            assert!(matches!(
                info.addr(),
                ConnectionAddr::TcpTls {
                    insecure: false,
                    ..
                }
            ));
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
