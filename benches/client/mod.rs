//! The load clients. They run in a process of their own, are the same for the services and for their limits, and use
//! little CPU, so that the rest of the machine is left to what is measured.

mod connection;
mod events;
mod requests;
mod steady;
mod viewers;

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use connection::Connection;

/// The argument that runs this program as the clients.
pub const ROLE: &str = "client";

/// The work of the clients.
#[derive(Debug, Deserialize, Serialize)]
pub enum Task {
    /// Requests in a closed loop: each connection sends one after the other.
    Requests(Requests),
    /// New voters at a constant rate, and one viewer.
    Steady(Steady),
    /// Many viewers of the live result.
    Viewers(Viewers),
}

/// Requests in a closed loop, without a pause.
#[derive(Debug, Deserialize, Serialize)]
pub struct Requests {
    pub address: SocketAddr,
    pub kind: RequestKind,
    pub connections: usize,
    /// Time before the measurement.
    pub warm_up: Duration,
    pub duration: Duration,
}

/// The kind of request.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum RequestKind {
    /// A vote by the page's form.
    Vote {
        /// True if the request accepts a compressed response, as browsers do.
        gzip: bool,
        /// True if every second vote changes the vote of the voter before.
        repeat: bool,
    },
    /// `GET` of this path.
    Get(String),
}

/// The outcome of the requests.
#[derive(Debug, Deserialize, Serialize)]
pub struct RequestStats {
    /// Requests with a 200, the warm-up included.
    pub succeeded: u64,
    /// Requests with another response or none.
    pub failed: u64,
    /// Requests with a 200 per second, during the measurement.
    pub per_second: f64,
    /// Median latency, in milliseconds.
    pub p50: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99: f64,
}

/// Votes at a constant rate, independent of the responses.
#[derive(Debug, Deserialize, Serialize)]
pub struct Steady {
    pub vote: SocketAddr,
    pub result: SocketAddr,
    pub connections: usize,
    /// Votes counted so far; the result may not show them yet.
    pub counted: u64,
    /// Votes per second.
    pub rate: f64,
    pub duration: Duration,
}

/// The time until votes were visible.
#[derive(Debug, Deserialize, Serialize)]
pub struct DeliveryStats {
    /// Accepted votes.
    pub accepted: u64,
    /// Votes that were not accepted.
    pub failed: u64,
    /// Median time from the scheduled moment of a vote until a viewer received it, in milliseconds.
    pub p50: f64,
    /// In milliseconds.
    pub p99: f64,
}

/// Viewers of the event stream.
#[derive(Debug, Deserialize, Serialize)]
pub struct Viewers {
    pub address: SocketAddr,
    pub count: usize,
    /// Time to watch once all are connected.
    pub duration: Duration,
}

/// The delivery of events to the viewers.
#[derive(Debug, Deserialize, Serialize)]
pub struct FanOutStats {
    /// Events that reached every viewer.
    pub complete: u64,
    /// Events that reached at least one viewer.
    pub events: u64,
    /// Median over the events of the time between the first and the last viewer, in milliseconds.
    pub spread_p50: f64,
    /// Maximum of the same time, in milliseconds.
    pub spread_max: f64,
}

/// Runs a task in a process of its own. Calls `meanwhile` once all clients are connected.
pub fn run_task_with<T: DeserializeOwned>(
    task: &Task,
    meanwhile: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(ROLE)
        .arg(serde_json::to_string(task)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.stdout.take().context("stdout is piped")?,
    ));
    let ready = lines.next().transpose()?;
    ensure!(
        ready.as_deref() == Some(READY),
        "the clients could not connect: {ready:?}"
    );
    meanwhile()?;
    let stats = lines.next().context("the clients printed nothing")??;
    ensure!(child.wait()?.success(), "the clients failed");
    Ok(serde_json::from_str(&stats)?)
}

/// Runs a task in a process of its own.
pub fn run_task<T: DeserializeOwned>(task: &Task) -> anyhow::Result<T> {
    run_task_with(task, || Ok(()))
}

const READY: &str = "ready";

/// Runs a task in this process and prints its outcome as JSON.
pub fn run(task: &str) -> anyhow::Result<()> {
    let stats = runtime()?.block_on(async {
        Ok::<_, anyhow::Error>(match serde_json::from_str(task)? {
            Task::Requests(task) => serde_json::to_string(&requests::run(task).await?)?,
            Task::Steady(task) => serde_json::to_string(&steady::run(task).await?)?,
            Task::Viewers(task) => serde_json::to_string(&viewers::run(task).await?)?,
        })
    })?;
    println!("{stats}");
    Ok(())
}

/// A runtime with one thread: the other core is left to what is measured.
fn runtime() -> anyhow::Result<tokio::runtime::LocalRuntime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?)
}

fn announce_ready() {
    println!("{READY}");
}

/// A histogram of latencies up to a minute, in microseconds.
fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid")
}

fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

/// A percentile in milliseconds.
fn percentile(latencies: &Histogram<u64>, percent: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of a minute are exact in a double"
    )]
    let micros = latencies.value_at_percentile(percent) as f64;
    micros / 1000.0
}
