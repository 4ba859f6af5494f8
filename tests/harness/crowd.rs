//! Many voters at once, each on a connection of its own, and what they were told.

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

/// Voters who vote again and again, each time as somebody new, so that votes can be counted.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    voters: Vec<JoinHandle<()>>,
}

/// What came of it so far.
#[derive(Debug, Default)]
pub struct Counts {
    attempted: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    /// No connection, or no whole answer.
    broken: AtomicU64,
    /// Refusals without a Retry-After.
    impolite: AtomicU64,
    slowest_refusal_ms: AtomicU64,
}

impl Crowd {
    pub fn gather(vote: &str, size: usize) -> Self {
        Self::gather_again(vote, size, Arc::default())
    }

    /// The same, whose votes are added to what came of an earlier one.
    pub fn gather_again(vote: &str, size: usize, counts: Arc<Counts>) -> Self {
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

    /// Waits until so many more votes are accepted.
    pub async fn accepts(&self, more: u64) {
        let wanted = self.counts.accepted() + more;
        let enough = |accepted: &u64| *accepted >= wanted;
        eventually("accepted votes", enough, async || self.counts.accepted()).await;
    }

    /// Waits until so many more votes are refused.
    pub async fn is_refused(&self, more: u64) {
        let wanted = self.counts.refused() + more;
        let enough = |refused: &u64| *refused >= wanted;
        eventually("refused votes", enough, async || self.counts.refused()).await;
    }

    /// Sends everybody home, and waits for the last answer.
    pub async fn go_home(self) -> Arc<Counts> {
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
            Ok(answer) if answer.status() == StatusCode::SERVICE_UNAVAILABLE => {
                let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.slowest_refusal_ms.fetch_max(took, Ordering::Relaxed);
                if !answer.headers().contains_key("retry-after") {
                    self.impolite.fetch_add(1, Ordering::Relaxed);
                }
                &self.refused
            }
            Ok(answer) if answer.status() == StatusCode::OK => match answer.bytes().await {
                Ok(_) => &self.accepted,
                Err(_) => &self.broken,
            },
            _ => &self.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn attempted(&self) -> u64 {
        self.attempted.load(Ordering::Relaxed)
    }

    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub fn broken(&self) -> u64 {
        self.broken.load(Ordering::Relaxed)
    }

    pub fn impolite(&self) -> u64 {
        self.impolite.load(Ordering::Relaxed)
    }

    pub fn slowest_refusal(&self) -> Duration {
        Duration::from_millis(self.slowest_refusal_ms.load(Ordering::Relaxed))
    }
}
