//! Concurrent voting clients, each on a connection of its own, and the responses they received.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::StatusCode;
use tokio::{task::JoinHandle, time::Instant};

use super::{eventually, voter::client};

/// Clients that vote repeatedly, each time as a new voter, so that votes can be counted.
pub struct ClientPool {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    voters: Vec<JoinHandle<()>>,
}

/// The outcomes so far.
#[derive(Debug, Default)]
pub struct Counts {
    attempted: AtomicU64,
    accepted: AtomicU64,
    rejected: AtomicU64,
    /// No connection, or no complete response.
    failed: AtomicU64,
    /// Rejections without a `Retry-After`.
    without_retry_after: AtomicU64,
    slowest_rejection_ms: AtomicU64,
}

impl ClientPool {
    pub fn start(vote: &str, size: usize) -> Self {
        Self::start_with_counts(vote, size, Arc::default())
    }

    /// Starts clients that continue the counts of an earlier pool.
    pub fn start_with_counts(vote: &str, size: usize, counts: Arc<Counts>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = client();
        let voters = (0..size).map(|_| {
            let (client, url) = (client.clone(), vote.to_owned());
            let (stop, counts) = (stop.clone(), counts.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    counts.vote(&client, &url).await;
                }
            })
        });
        let voters = voters.collect();
        Self {
            stop,
            counts,
            voters,
        }
    }

    /// Waits until this many more votes are accepted.
    pub async fn wait_for_accepted(&self, more: u64) {
        let wanted = self.counts.accepted() + more;
        let enough = |accepted: &u64| *accepted >= wanted;
        eventually("accepted votes", enough, async || self.counts.accepted()).await;
    }

    /// Waits until this many more votes are rejected.
    pub async fn wait_for_rejected(&self, more: u64) {
        let wanted = self.counts.rejected() + more;
        let enough = |rejected: &u64| *rejected >= wanted;
        eventually("rejected votes", enough, async || self.counts.rejected()).await;
    }

    /// Stops the clients and waits for the last responses.
    pub async fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for voter in self.voters {
            voter.await.expect("voters do not panic");
        }
        self.counts
    }
}

impl Counts {
    async fn vote(&self, client: &reqwest::Client, url: &str) {
        self.attempted.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let counter = match client.post(url).form(&[("vote", "a")]).send().await {
            Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
                let latency = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.slowest_rejection_ms
                    .fetch_max(latency, Ordering::Relaxed);
                if !response.headers().contains_key("retry-after") {
                    self.without_retry_after.fetch_add(1, Ordering::Relaxed);
                }
                &self.rejected
            }
            Ok(response) if response.status() == StatusCode::OK => match response.bytes().await {
                Ok(_) => &self.accepted,
                Err(_) => &self.failed,
            },
            _ => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn attempted(&self) -> u64 {
        self.attempted.load(Ordering::Relaxed)
    }

    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn without_retry_after(&self) -> u64 {
        self.without_retry_after.load(Ordering::Relaxed)
    }

    pub fn slowest_rejection(&self) -> Duration {
        Duration::from_millis(self.slowest_rejection_ms.load(Ordering::Relaxed))
    }
}
