//! Several local Redis servers: independent ones, or a real Redis Cluster.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use local_servers::redis as local;
use redis::Value;

use super::{TIMEOUT, free_port, redis::RedisServer, server::Server};

/// The time without a sign of life after which the other nodes replace a node, in milliseconds.
const NODE_TIMEOUT: &str = "1000";
const SLOTS: usize = 16_384;
/// Settings for servers that are killed, without a power loss: writes are passed to the kernel before the reply and not
/// synced. With a slow disk, syncs would look like a lost shard in tests with short timeouts.
const FLAGS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "no", "--save", ""];

/// A Redis Cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The masters, in the order of their slots.
    pub masters: Vec<RedisServer>,
    /// Their replicas in the same order, or none.
    pub replicas: Vec<RedisServer>,
}

/// The cluster of three nodes that all tests share. Each test uses streams of its own and changes no settings.
pub fn shared() -> Result<&'static Cluster, String> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let cluster = Cluster::start(3, false)?;
        // No test breaks it, so it is configured as in production.
        for node in cluster.nodes() {
            node.set("appendfsync", "always");
        }
        Ok(cluster)
    });
    shared.as_ref().map_err(Clone::clone)
}

impl Cluster {
    /// Starts a cluster for one test, which may break it.
    pub fn start(count: usize, with_replicas: bool) -> Result<Self, String> {
        let nodes = |count| {
            (0..count)
                .map(|_| start_node())
                .collect::<Result<Vec<_>, String>>()
        };
        let masters = nodes(count)?;
        let replicas = nodes(if with_replicas { count } else { 0 })?;
        let (masters, buses): (Vec<_>, Vec<_>) = masters.into_iter().unzip();
        let (replicas, more_buses): (Vec<_>, Vec<_>) = replicas.into_iter().unzip();
        let cluster = Self { masters, replicas };
        for (index, node) in cluster.masters.iter().enumerate() {
            node.wait_until_ready()?;
            let (first, next) = (SLOTS * index / count, SLOTS * (index + 1) / count);
            let range = [first.to_string(), (next - 1).to_string()];
            node.cluster(&["ADDSLOTSRANGE", &range[0], &range[1]]);
        }
        let first = &cluster.masters[0];
        for (node, bus) in cluster.nodes().zip(buses.iter().chain(&more_buses)).skip(1) {
            node.wait_until_ready()?;
            first.cluster(&["MEET", "127.0.0.1", node.port(), &bus.to_string()]);
        }
        let known = cluster.nodes().count();
        cluster.wait_until_all("know each other", |node| {
            node.has_line("INFO", "cluster_state:ok")
                && node.has_line("INFO", &format!("cluster_known_nodes:{known}"))
        })?;
        for (replica, master) in cluster.replicas.iter().zip(&cluster.masters) {
            replica.cluster(&["REPLICATE", &master.id()]);
        }
        if with_replicas {
            cluster.wait_until_all("have replicas in sync", |node| {
                let replication: String = redis::cmd("INFO")
                    .arg("replication")
                    .query(&mut node.connect())
                    .unwrap_or_default();
                replication.contains("state=online")
                    || replication.contains("master_link_status:up")
            })?;
        }
        Ok(cluster)
    }

    /// The queue URL with all nodes as shards. Each shard's URL names a node other than the one with its stream.
    pub fn queue_url(&self) -> String {
        let mut urls: Vec<_> = self.masters.iter().map(|node| &*node.url).collect();
        urls.rotate_left(1);
        urls.join(",")
    }

    fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().chain(&self.replicas)
    }

    fn wait_until_all(
        &self,
        what: &str,
        condition: impl Fn(&RedisServer) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + TIMEOUT;
        while !self.nodes().all(&condition) {
            if Instant::now() > deadline {
                return Err(format!("the nodes of the Redis Cluster do not {what}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl RedisServer {
    /// Sends `CLUSTER …`.
    pub fn cluster(&self, arguments: &[&str]) -> Value {
        let mut command = redis::cmd("CLUSTER");
        command.arg(arguments);
        command
            .query(&mut self.connect())
            .expect("it is a node of a cluster")
    }

    pub fn id(&self) -> String {
        redis::from_redis_value(self.cluster(&["MYID"])).expect("it is text")
    }

    pub fn port(&self) -> &str {
        self.url.rsplit(':').next().expect("a URL has a port")
    }

    fn has_line(&self, subcommand: &str, text: &str) -> bool {
        let reply: String =
            redis::from_redis_value(self.cluster(&[subcommand])).expect("it is text");
        reply.lines().any(|line| line == text)
    }
}

/// Starts independent servers.
pub fn servers(count: usize) -> Result<Vec<RedisServer>, String> {
    let servers: Result<Vec<_>, String> = (0..count).map(|_| start_process(&[])).collect();
    let servers = servers?;
    for server in &servers {
        server.wait_until_ready()?;
    }
    Ok(servers)
}

/// Starts a node that knows no other yet. Returns it with its cluster bus port.
fn start_node() -> Result<(RedisServer, u16), String> {
    let bus = free_port();
    let flags = format!(
        "--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout {NODE_TIMEOUT} \
         --cluster-require-full-coverage no --cluster-replica-validity-factor 0"
    );
    let flags: Vec<_> = flags.split(' ').collect();
    Ok((start_process(&flags)?, bus))
}

/// Starts a local process: nodes in containers would announce addresses that are unreachable from here.
fn start_process(more: &[&str]) -> Result<RedisServer, String> {
    let port = free_port();
    let listen = ["--port", &port.to_string()];
    let flags = listen.iter().chain(&FLAGS).chain(more);
    let flags = flags.map(|word| (*word).to_owned()).collect();
    let server = local::start(&[], |_, _| Ok(()), |_| flags)?;
    Ok(RedisServer {
        url: local::url(port),
        server: Server::Process(server),
    })
}
