//! The clients: a process of its own, the same for the services and for their limits, and so lean that it leaves the
//! machine to them.

mod connection;
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

/// The argument that makes this program the clients.
pub const ROLE: &str = "drive";

/// What they do.
#[derive(Debug, Deserialize, Serialize)]
pub enum Task {
    /// As many requests as can be, each connection one after the other.
    Requests(Requests),
    /// New voters at a steady rate, and one viewer.
    Steady(Steady),
    /// Many viewers of the live result.
    Viewers(Viewers),
}

/// Requests without a pause.
#[derive(Debug, Deserialize, Serialize)]
pub struct Requests {
    pub address: SocketAddr,
    pub kind: Kind,
    pub connections: usize,
    /// Before anything is measured.
    pub warm_up: Duration,
    pub duration: Duration,
}

/// What is asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Kind {
    /// A vote by the page's form.
    Vote {
        /// Whether a compressed answer is wanted, as by browsers.
        gzip: bool,
        /// Whether every second vote is by the voter of the one before, who changes its mind.
        again: bool,
    },
    /// `GET` of this path.
    Get(String),
}

/// What became of them.
#[derive(Debug, Deserialize, Serialize)]
pub struct Answered {
    /// Those answered with 200, while it was measured and before.
    pub all: u64,
    /// Those answered otherwise, or not at all.
    pub failed: u64,
    /// Those answered with 200 per second, while it was measured.
    pub per_second: f64,
    /// In milliseconds.
    pub p50: f64,
    /// In milliseconds.
    pub p99: f64,
}

/// Votes that do not wait for each other.
#[derive(Debug, Deserialize, Serialize)]
pub struct Steady {
    pub vote: SocketAddr,
    pub result: SocketAddr,
    pub connections: usize,
    /// What is counted so far: the result may not show it yet.
    pub counted: u64,
    /// Votes per second.
    pub rate: f64,
    pub duration: Duration,
}

/// How soon they were seen.
#[derive(Debug, Deserialize, Serialize)]
pub struct Seen {
    /// Votes that were accepted.
    pub accepted: u64,
    /// Votes that were not.
    pub failed: u64,
    /// From the moment a vote was due until a viewer had seen it, in milliseconds.
    pub p50: f64,
    /// In milliseconds.
    pub p99: f64,
}

/// Viewers of the events.
#[derive(Debug, Deserialize, Serialize)]
pub struct Viewers {
    pub address: SocketAddr,
    pub count: usize,
    /// How long to watch once everybody is connected.
    pub duration: Duration,
}

/// How they were served.
#[derive(Debug, Deserialize, Serialize)]
pub struct Watched {
    /// Events that reached every viewer.
    pub complete: u64,
    /// Events that reached anybody.
    pub seen: u64,
    /// Times between the first and the last viewer of an event, in milliseconds: in the middle of the events.
    pub spread_p50: f64,
    /// And the longest.
    pub spread_most: f64,
}

/// Has a process of its own do it. `meanwhile` is called once the clients say that they are all there.
pub fn start<T: DeserializeOwned>(
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
    let answer = lines.next().context("the clients said nothing")??;
    ensure!(child.wait()?.success(), "the clients failed");
    Ok(serde_json::from_str(&answer)?)
}

/// The same with nothing to do meanwhile.
pub fn drive<T: DeserializeOwned>(task: &Task) -> anyhow::Result<T> {
    start(task, || Ok(()))
}

const READY: &str = "ready";

/// Does it in this process.
pub fn run(task: &str) -> anyhow::Result<()> {
    let answer = runtime()?.block_on(async {
        Ok::<_, anyhow::Error>(match serde_json::from_str(task)? {
            Task::Requests(task) => serde_json::to_string(&requests::run(task).await?)?,
            Task::Steady(task) => serde_json::to_string(&steady::run(task).await?)?,
            Task::Viewers(task) => serde_json::to_string(&viewers::run(task).await?)?,
        })
    })?;
    println!("{answer}");
    Ok(())
}

/// One thread: the other core is for what is measured.
fn runtime() -> anyhow::Result<tokio::runtime::LocalRuntime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?)
}

fn announce() {
    println!("{READY}");
}

/// Latencies up to a minute, in microseconds.
fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("these are bounds")
}

fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

/// In milliseconds.
fn percentile(latencies: &Histogram<u64>, percent: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "microseconds of a minute are exact in a double"
    )]
    let micros = latencies.value_at_percentile(percent) as f64;
    micros / 1000.0
}
