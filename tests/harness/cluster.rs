//! Several Redis servers of this machine: each for itself, or a real Redis Cluster.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use redis::Value;

use super::{
    PATIENCE, free_port,
    redis::RedisServer,
    server::{Server, find_program},
};

/// How long a node is silent before the others replace it, in milliseconds.
const NODE_TIMEOUT: &str = "1000";
const SLOTS: usize = 16_384;
/// Settings for servers of which the process ends, and not the machine: what is answered is written, but not waited for until it
/// is on the disk. A slow disk would look like a lost shard to whoever asks for prompt answers.
const FLAGS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "no", "--save", ""];

/// Redis servers that share the voters.
#[derive(Debug)]
pub struct Cluster {
    /// Those with a part of the slots, in the order of the slots.
    pub masters: Vec<RedisServer>,
    /// Their replicas, in the same order, or none.
    pub replicas: Vec<RedisServer>,
}

/// The cluster of three that all tests of this program share. They use streams of their own and leave it as it is.
pub fn shared() -> Result<&'static Cluster, String> {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let cluster = Cluster::start(3, false)?;
        // Nobody breaks it, so it is as in production.
        for node in cluster.nodes() {
            node.set("appendfsync", "always");
        }
        Ok(cluster)
    });
    shared.as_ref().map_err(Clone::clone)
}

impl Cluster {
    /// A cluster for one test, which may break it.
    pub fn start(count: usize, with_replicas: bool) -> Result<Self, String> {
        let nodes = |count| {
            (0..count)
                .map(|_| node())
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
        cluster.until_all("know each other", |node| {
            node.says("INFO", "cluster_state:ok")
                && node.says("INFO", &format!("cluster_known_nodes:{known}"))
        })?;
        for (replica, master) in cluster.replicas.iter().zip(&cluster.masters) {
            replica.cluster(&["REPLICATE", &master.id()]);
        }
        if with_replicas {
            cluster.until_all("have replicas in step", |node| {
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

    /// All of it as shards. Each begins at another node than the one that has its stream.
    pub fn queue_url(&self) -> String {
        let mut urls: Vec<_> = self.masters.iter().map(|node| &*node.url).collect();
        urls.rotate_left(1);
        urls.join(",")
    }

    fn nodes(&self) -> impl Iterator<Item = &RedisServer> {
        self.masters.iter().chain(&self.replicas)
    }

    fn until_all(&self, what: &str, good: impl Fn(&RedisServer) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while !self.nodes().all(&good) {
            if Instant::now() > deadline {
                return Err(format!("the nodes of the Redis Cluster do not {what}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl RedisServer {
    /// `CLUSTER …`
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

    fn says(&self, what: &str, text: &str) -> bool {
        let answer: String = redis::from_redis_value(self.cluster(&[what])).expect("it is text");
        answer.lines().any(|line| line == text)
    }
}

/// So many servers that know nothing of each other.
pub fn servers(count: usize) -> Result<Vec<RedisServer>, String> {
    let servers: Result<Vec<_>, String> = (0..count).map(|_| process(&[])).collect();
    let servers = servers?;
    for server in &servers {
        server.wait_until_ready()?;
    }
    Ok(servers)
}

/// A node that knows no other yet, and the port at which others reach it.
fn node() -> Result<(RedisServer, u16), String> {
    let bus = free_port();
    let flags = format!(
        "--cluster-enabled yes --cluster-port {bus} --cluster-node-timeout {NODE_TIMEOUT} \
         --cluster-require-full-coverage no --cluster-replica-validity-factor 0"
    );
    let flags: Vec<_> = flags.split(' ').collect();
    Ok((process(&flags)?, bus))
}

/// Of this machine's programs: nodes in containers would name each other by addresses that lead nowhere from here.
fn process(more: &[&str]) -> Result<RedisServer, String> {
    let program = find_program("redis-server", &[]).ok_or("redis-server is not on this machine")?;
    let port = free_port();
    let server = Server::process(
        "redis",
        |_, _| Ok(()),
        |folder| {
            let (program, folder) = (program.display().to_string(), folder.display().to_string());
            let port = port.to_string();
            let place = [
                &*program,
                "--bind",
                "127.0.0.1",
                "--dir",
                &folder,
                "--port",
                &port,
            ];
            let words = place.iter().chain(&FLAGS).chain(more);
            words.map(|word| (*word).to_owned()).collect()
        },
    )?;
    Ok(RedisServer {
        url: format!("redis://127.0.0.1:{port}"),
        server,
    })
}
