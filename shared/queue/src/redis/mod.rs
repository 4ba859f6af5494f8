//! The queue as a Redis stream, read by the consumer group `workers`.

mod backlog;
mod checks;
mod cluster;
mod connection;
mod consumer;
mod durability;
mod enqueue;
mod errors;
mod rejection;
mod replies;
mod scripts;
mod shard;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use redis::{Client, ConnectionInfo, ProtocolVersion, RedisError, RedisResult, cmd};

use super::{DurabilityCheck, QueueConfig, QueueError};
use cluster::Nodes;
use connection::Connection;
pub use consumer::RedisConsumer;
use errors::classify;
use poll::ballot::BallotId;
use replies::Entries;
use shard::Shard;

pub(super) const GROUP: &str = "workers";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Minimum timeout of a reply; the enqueue timeout where that is longer.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a check. After it the connection is replaced.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);
/// Maximum time for which sent data may stay unacknowledged by TCP. Without it a connection whose packets are lost would stay
/// open for a quarter of an hour.
#[cfg(target_os = "linux")]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens one shard for each server.
pub(super) fn open(
    servers: &[ConnectionInfo],
    config: &QueueConfig,
) -> RedisResult<Vec<RedisQueue>> {
    let clients = servers
        .iter()
        .map(|server| client(server.clone()))
        .collect::<RedisResult<Vec<_>>>()?;
    let response_timeout = RESPONSE_TIMEOUT.max(config.enqueue_timeout);
    (0..clients.len())
        .map(|index| {
            let mut others = clients.clone();
            let own = others.remove(index);
            let shard = Shard::new(index, clients.len());
            Ok(RedisQueue {
                connection: Connection::new(Nodes::new(own, others), response_timeout)?,
                shard,
                stream: shard.key(&config.stream).into(),
                durability: config.durability,
                enqueue_timeout: config.enqueue_timeout,
                response_timeout,
                is_version_checked: Arc::default(),
            })
        })
        .collect()
}

fn client(server: ConnectionInfo) -> RedisResult<Client> {
    let tcp = server.tcp_settings().clone().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(TCP_USER_TIMEOUT);
    // With RESP3 the library detects a lost connection immediately and reconnects before the next request.
    let resp3 = server
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    Client::open(server.set_tcp_settings(tcp).set_redis_settings(resp3))
}

/// One shard's stream. Cloning is cheap; clones share the connection.
#[derive(Clone)]
pub struct RedisQueue {
    connection: Connection,
    shard: Shard,
    stream: Arc<str>,
    durability: DurabilityCheck,
    enqueue_timeout: Duration,
    response_timeout: Duration,
    is_version_checked: Arc<AtomicBool>,
}

impl RedisQueue {
    /// Returns the stream's key.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) fn consumer(&self, name: &str) -> RedisConsumer {
        RedisConsumer::new(self.clone(), name)
    }

    pub(super) async fn last_id(&self) -> Result<Option<BallotId>, QueueError> {
        let mut range = cmd("XREVRANGE");
        range.arg(&*self.stream).arg("+").arg("-");
        range.arg("COUNT").arg(1);
        let Entries(last) = self
            .connection
            .query(&range)
            .await
            .map_err(|error| self.classify(&error))?;
        Ok(last.first().map(|entry| self.shard.to_global_id(entry.id)))
    }

    /// Returns the current server and the setting that names it, for messages.
    fn location(&self) -> String {
        let client = self.connection.client();
        format!(
            "Redis at {} (QUEUE_URL)",
            client.get_connection_info().addr()
        )
    }

    fn classify(&self, error: &RedisError) -> QueueError {
        classify(error, &self.location(), self.response_timeout)
    }
}
