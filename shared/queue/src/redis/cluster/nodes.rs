//! Candidate servers of a shard's stream: the one of its own URL and, in a Redis Cluster, the other nodes.

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, RedisResult, aio::MultiplexedConnection, cmd,
};
use tokio::net::lookup_host;

use crate::redis::{CONNECT_TIMEOUT, PROBE_TIMEOUT};

/// Servers in QUEUE_URL, from one shard's view.
#[derive(Debug)]
pub struct Nodes {
    /// Server of the shard's own URL.
    own: Client,
    /// Servers of the other shards. They are used only if they are in the same cluster: an independent server would accept
    /// this shard's ballots, and no worker would read them from there.
    others: Vec<Client>,
}

impl Nodes {
    pub fn new(own: Client, others: Vec<Client>) -> Self {
        Self { own, others }
    }

    pub fn own(&self) -> &Client {
        &self.own
    }

    /// Returns true if the stream may be at another server than this one.
    pub fn has_alternative_to(&self, client: &Client) -> bool {
        !self.others.is_empty() || !is_same(client, &self.own)
    }

    /// Returns a reachable server: the shard's own, otherwise another node of its cluster, which redirects to the stream's
    /// node. Returns the own server if none is reachable; its error then gives the reason.
    pub async fn locate(&self) -> &Client {
        if query(&self.own, &cmd("PING")).await.is_ok() {
            return &self.own;
        }
        let addresses = self.own_addresses().await;
        let mut nodes = cmd("CLUSTER");
        nodes.arg("NODES");
        for other in &self.others {
            if let Ok(nodes) = query(other, &nodes).await
                && lists(&nodes, &addresses)
            {
                return other;
            }
        }
        &self.own
    }

    /// Returns the addresses under which a cluster may list the own server: as in the URL and as resolved.
    async fn own_addresses(&self) -> Vec<String> {
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

/// Returns true if both have the same address.
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

/// Returns true if the reply to CLUSTER NODES lists one of these addresses, in any state. Each line has an id, then
/// `ip:port@port[,host]`.
fn lists(nodes: &str, addresses: &[String]) -> bool {
    nodes.lines().any(|line| {
        let Some((address, rest)) = line.split(' ').nth(1).and_then(|node| node.split_once('@'))
        else {
            return false;
        };
        let port = address.rsplit(':').next().unwrap_or_default();
        let host = rest.split(',').nth(1).unwrap_or_default();
        addresses
            .iter()
            .any(|own| *own == address || *own == format!("{host}:{port}"))
    })
}

async fn query(client: &Client, command: &redis::Cmd) -> RedisResult<String> {
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
    fn a_cluster_is_used_only_if_it_lists_the_own_server() {
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
}
