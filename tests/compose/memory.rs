//! As many clients as may connect, which take nothing of what they asked for, in containers with the stack's own limits.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::inspect;
use crate::harness::{
    eventually,
    skip::or_skip,
    stack::{docker, images, stack_config},
    voter::client,
};

/// More requests than the kernel holds for a server that reads no more.
const REQUESTS: usize = 400;

/// Those with the largest answers, the stream of events, and one of each other kind.
const ROUTES: [(&str, u16, &[&str]); 2] = [
    (
        "vote",
        8080,
        &["/metrics", "/", "/api/openapi.json", "/ready"],
    ),
    (
        "result",
        8081,
        &[
            "/metrics",
            "/",
            "/events",
            "/api/openapi.json",
            "/api/timeline",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_nothing_do_not_exhaust_the_memory() {
    raise_limit_of_files();
    let images = or_skip!(images());
    let stack = stack_config();
    for (service, port, paths) in ROUTES {
        let settings = &stack["services"][service];
        let connections = settings["environment"]["MAX_CONNECTIONS"].as_str().unwrap();
        let container = Container::start(images.of(service), settings, connections);
        let address = SocketAddr::new(container.ip().parse().unwrap(), port);
        let connections = connections.parse().unwrap();
        for path in paths {
            for coding in ["gzip", "identity"] {
                let request =
                    format!("GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: {coding}\r\n\r\n");
                fill(address, connections, &request.repeat(REQUESTS)).await;
                container.assert_runs(path);
            }
        }
        let unfinished = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(15 * 1024));
        fill(address, connections, &unfinished).await;
        container.assert_runs("a head without an end");
    }
}

/// A service alone, on embedded storage in its memory, removed when this value is dropped.
struct Container(String);

impl Container {
    /// With the limits of the stack, and so many connections.
    fn start(image: &str, settings: &Value, connections: &str) -> Self {
        let memory = settings["mem_limit"].as_str().unwrap();
        let of_one = format!("MAX_CONNECTIONS_PER_ADDRESS={connections}");
        let connections = format!("MAX_CONNECTIONS={connections}");
        let place = [
            "run",
            "--detach",
            "--read-only",
            "--tmpfs",
            "/data:mode=1777",
            "--memory",
            memory,
            "--memory-swap",
            memory,
            "--env",
            &connections,
            "--env",
            &of_one,
            "--env",
            "DATA_DIR=/data/of-its-own",
            image,
        ];
        Self(docker(&place).trim().to_owned())
    }

    fn ip(&self) -> String {
        let format = "{{.NetworkSettings.IPAddress}}";
        let ip = docker(&["inspect", "--format", format, &self.0]);
        ip.trim().to_owned()
    }

    fn assert_runs(&self, after: &str) {
        let state = inspect(&self.0)["State"].clone();
        assert_eq!(state["Running"], true, "after {after}: {state}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

/// Fills all places with clients that send this and read nothing. Probes must be answered all the same.
async fn fill(address: SocketAddr, connections: usize, request: &str) {
    // It may have just been started.
    until_healthy(address).await;
    let mut clients = Vec::with_capacity(connections);
    while clients.len() < connections {
        let wave = (0..500).map(async |_| {
            // Those that find no place are closed.
            let mut client = connect(address).await?;
            let _ = timeout(
                Duration::from_millis(50),
                client.write_all(request.as_bytes()),
            )
            .await;
            std::io::Result::Ok(client)
        });
        clients.extend(join_all(wave).await);
    }
    let open = clients.iter().flatten().count();
    assert!(open > connections * 9 / 10, "only {open} are in");
    until_healthy(address).await;
}

/// Those of before may not all be gone yet, and take what is kept for probes.
async fn until_healthy(address: SocketAddr) {
    let is_healthy = async || {
        let health = client().get(format!("http://{address}/health"));
        health
            .send()
            .await
            .is_ok_and(|health| health.status().is_success())
    };
    eventually("an answer to a probe", |healthy| *healthy, is_healthy).await;
}

/// A client that holds little itself, so that the server has to.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(2048)?;
    socket.connect(address).await
}

fn raise_limit_of_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("the maximum is allowed");
}
