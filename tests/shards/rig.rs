//! All services on a queue of three shards, with a load whose outcome is checked.

use std::time::Duration;

use load::{
    Load, LoadConfig, Observer,
    check::Observation,
    history::{Attempt, Outcome, VoterRecord},
    schedule::Plan,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{MAX_REJECTION_LATENCY, start_ready, wait_until_ready},
    harness::{
        TIMEOUT, eventually,
        process::Service,
        scrape::Scrape,
        storage::{Backend, Storage},
        viewer::wait_until_complete,
    },
};

pub const SHARDS: usize = 3;
/// The cookie key that all replicas of `vote` share.
const KEY: &str = concat!(
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
);
/// A timeout of two seconds, because shared machines may delay the queue by a second.
const SETTINGS: [(&str, &str); 3] = [
    ("ENQUEUE_TIMEOUT", "2s"),
    ("COOKIE_KEY", KEY),
    ("WORKER_CLAIM_MIN_IDLE", "1s"),
];

pub struct Rig {
    pub storage: Storage,
    pub votes: [Service; 2],
    pub workers: [Service; 2],
    pub result: Service,
    observer: Observer,
}

/// A load that runs until it is stopped.
pub struct RunningLoad {
    stop: CancellationToken,
    running: JoinHandle<Load>,
}

impl Rig {
    pub async fn new(queue_url: String) -> Result<Self, String> {
        let mut storage = Storage::new(Backend::Servers).await?;
        storage.queue_url = queue_url;
        let start = async |name| start_ready(name, &storage, &SETTINGS).await;
        let workers = [start("worker").await, start("worker").await];
        let votes = [start("vote").await, start("vote").await];
        let result = start("result").await;
        wait_until_complete(&result.url).await;
        let store = storage.store_config();
        let observer = Observer::new(result.url.parse().expect("it is a URL"), Some(&store)).await;
        let observer = observer.map_err(|error| error.to_string())?;
        let rig = Self {
            storage,
            votes,
            workers,
            result,
            observer,
        };
        for shard in 0..SHARDS {
            rig.wait_for_shard_state(shard, true).await;
        }
        Ok(rig)
    }

    pub async fn observe(&self) -> Observation {
        self.observer
            .observe_baseline()
            .await
            .expect("the result can be observed")
    }

    pub fn spawn_load(&self, votes_per_second: f64) -> RunningLoad {
        let config = LoadConfig {
            vote: self
                .votes
                .iter()
                .map(|vote| vote.url.parse().unwrap())
                .collect(),
            voters: 300,
            connections: 100,
            plan: Plan {
                rate: Some(votes_per_second),
                ..Plan::default()
            },
            seed: 1,
            request_timeout: TIMEOUT,
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running =
            tokio::spawn(
                async move { Load::run(&config, stopped).await.expect("the poll is open") },
            );
        RunningLoad { stop, running }
    }

    /// Asserts that all accepted votes are counted, and no others.
    pub async fn assert_all_is_counted(&self, load: &Load, before: &Observation) {
        let verdict = self.observer.settle(&load.history, before, TIMEOUT).await;
        let verdict = verdict.expect("the result can be observed");
        assert_eq!((verdict.violations, verdict.quiescent), (Vec::new(), true));
    }

    /// Waits until all services report that a shard is up or down.
    pub async fn wait_for_shard_state(&self, shard: usize, up: bool) {
        let series = format!("dependency_up{{dependency=\"queue-{shard}\"}}");
        for service in self.votes.iter().chain(&self.workers) {
            let is_up = async || Scrape::of(&service.url).await.value(&series) > 0.5;
            eventually(&series, |value| *value == up, is_up).await;
        }
    }

    /// Starts the load and waits until votes are accepted. Returns the state before it, too.
    pub async fn start_load(&self, votes_per_second: f64) -> (Observation, RunningLoad) {
        let before = self.observe().await;
        let voting = self.spawn_load(votes_per_second);
        self.wait_for_accepted(200.0).await;
        (before, voting)
    }

    /// Waits until this many more votes are accepted.
    pub async fn wait_for_accepted(&self, more: f64) {
        let wanted = self.accepted().await + more;
        eventually(
            "accepted votes",
            |accepted| *accepted >= wanted,
            async || self.accepted().await,
        )
        .await;
    }

    async fn accepted(&self) -> f64 {
        self.sum(
            &self.votes,
            "vote_submissions_total",
            "outcome=\"accepted\"",
        )
        .await
    }

    /// Waits until this many more ballots are stored.
    pub async fn wait_for_stored(&self, more: f64) {
        let stored = async || {
            self.sum(&self.workers, "worker_ballots_processed_total", "applied")
                .await
        };
        let wanted = stored().await + more;
        eventually("stored ballots", |stored| *stored >= wanted, stored).await;
    }

    async fn sum(&self, services: &[Service], name: &str, label: &str) -> f64 {
        let mut sum = 0.0;
        for service in services {
            let metrics = Scrape::of(&service.url).await;
            let matching = metrics
                .series()
                .filter(|(series, _)| series.starts_with(name) && series.contains(label));
            sum += matching.map(|(_, value)| value).sum::<f64>();
        }
        sum
    }

    /// Waits until every service is ready, although a shard may be lost. On a busy machine the store may seem unreachable for
    /// a moment, too.
    pub async fn wait_until_all_ready(&self) {
        for service in self.votes.iter().chain(&self.workers) {
            wait_until_ready(&service.url).await;
        }
    }

    pub async fn admission_limit(&self) -> f64 {
        self.sum(&self.votes[..1], "vote_admission_limit", "").await
    }

    /// The key of each shard's stream.
    pub async fn keys(&self) -> Vec<String> {
        let shards = self.storage.shards().await;
        shards
            .shards()
            .iter()
            .map(|shard| shard.name().to_owned())
            .collect()
    }
}

impl RunningLoad {
    pub async fn stop(self) -> Load {
        self.stop.cancel();
        self.running.await.expect("it does not panic")
    }
}

/// An index that is no shard.
pub const NO_SHARD: usize = SHARDS;

/// Asserts that the recorded votes of voters on other shards were all accepted.
pub fn assert_accepted_elsewhere(load: &Load, lost: usize) {
    let elsewhere = |voter: &&VoterRecord| voter.voter.shard(SHARDS) != lost;
    for voter in load.history.voters.iter().filter(elsewhere) {
        let rejected = |attempt: &Attempt| !matches!(attempt.outcome, Outcome::Accepted(_));
        let rejected: Vec<_> = voter.recent.iter().copied().filter(rejected).collect();
        assert_eq!(rejected, [], "rejected without reason");
    }
}

/// Asserts that only voters of the lost shard were rejected, and within the maximum latency.
pub fn assert_rejected_at_once(load: &Load, lost: usize) {
    assert_accepted_elsewhere(load, lost);
    let slowest = slowest_rejection(load);
    assert!(slowest < MAX_REJECTION_LATENCY, "{slowest:?}");
}

/// The highest latency of a vote that was not accepted.
fn slowest_rejection(load: &Load) -> Duration {
    let attempts = load.history.voters.iter().flat_map(|voter| &voter.recent);
    let rejected = attempts.filter(|attempt| !matches!(attempt.outcome, Outcome::Accepted(_)));
    let latency = rejected
        .map(|attempt| attempt.completed_ms - attempt.sent_ms)
        .max();
    Duration::from_millis(latency.expect("a vote was rejected").into())
}
