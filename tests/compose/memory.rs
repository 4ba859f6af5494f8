//! The maximum number of clients, none of which reads its responses, in containers with the limits of the stack.

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
    container::docker,
    eventually,
    skip::or_skip,
    stack::{images, stack_config},
    voter::client,
};

/// More requests than the kernel buffers for a server that no longer reads.
const REQUESTS: usize = 400;

/// The routes with the largest responses, the event stream, and one of each other kind.
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
    raise_nofile_limit();
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

/// A single service on embedded storage in memory, removed when this value is dropped.
struct Container(String);

impl Container {
    /// Starts it with the limits of the stack and this maximum of connections.
    fn start(image: &str, settings: &Value, connections: &str) -> Self {
        let memory = settings["mem_limit"].as_str().unwrap();
        let per_address = format!("MAX_CONNECTIONS_PER_ADDRESS={connections}");
        let connections = format!("MAX_CONNECTIONS={connections}");
        let arguments = [
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
            &per_address,
            "--env",
            "DATA_DIR=/data/of-its-own",
            image,
        ];
        Self(docker(&arguments).trim().to_owned())
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

/// Opens the maximum of connections by clients that send this request and read nothing. Probes must still succeed.
async fn fill(address: SocketAddr, connections: usize, request: &str) {
    // The container may have just been started.
    wait_until_healthy(address).await;
    let mut clients = Vec::with_capacity(connections);
    while clients.len() < connections {
        let wave = (0..500).map(async |_| {
            // Connections beyond the limit are closed.
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
    assert!(open > connections * 9 / 10, "only {open} are connected");
    wait_until_healthy(address).await;
}

/// Waits until a probe succeeds: earlier connections may not be closed yet and use the reserve for probes. Like a load balancer,
/// this gives up on a probe after a few seconds and opens another connection: the kernel drops the handshake of a connection
/// while the server's accept queue is full, and the client sends it again after a time that doubles with each attempt.
async fn wait_until_healthy(address: SocketAddr) {
    const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
    let is_healthy = async || {
        let health = client()
            .get(format!("http://{address}/health"))
            .timeout(PROBE_TIMEOUT);
        health
            .send()
            .await
            .is_ok_and(|health| health.status().is_success())
    };
    eventually("a successful probe", |healthy| *healthy, is_healthy).await;
}

/// Opens a connection with a small receive buffer, so that the server has to buffer.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(2048)?;
    socket.connect(address).await
}

fn raise_nofile_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).expect("the maximum is allowed");
}
