//! All services, on a queue of three shards, and a load that judges.

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
    faults::{AT_ONCE, start_ready, until_ready},
    harness::{
        PATIENCE, eventually,
        process::Service,
        scrape::Scrape,
        storage::{Kind, Storage},
        viewer::until_complete,
    },
};

pub const SHARDS: usize = 3;
/// Every replica of `vote` must know the others' voters.
const KEY: &str = concat!(
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
);
/// An answer of a queue after a second is not late: machines are shared.
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
    watch: Observer,
}

/// Voters who go on until they are stopped.
pub struct Voting {
    stop: CancellationToken,
    running: JoinHandle<Load>,
}

impl Rig {
    pub async fn new(queue_url: String) -> Result<Self, String> {
        let mut storage = Storage::new(Kind::Servers).await?;
        storage.queue_url = queue_url;
        let start = async |name| start_ready(name, &storage, &SETTINGS).await;
        let workers = [start("worker").await, start("worker").await];
        let votes = [start("vote").await, start("vote").await];
        let result = start("result").await;
        until_complete(&result.url).await;
        let store = storage.store_config();
        let watch = Observer::new(result.url.parse().expect("it is a URL"), Some(&store)).await;
        let watch = watch.map_err(|error| error.to_string())?;
        let rig = Self {
            storage,
            votes,
            workers,
            result,
            watch,
        };
        for shard in 0..SHARDS {
            rig.until_shard_is(shard, true).await;
        }
        Ok(rig)
    }

    pub async fn look(&self) -> Observation {
        self.watch
            .observe_baseline()
            .await
            .expect("what counts can be seen")
    }

    pub fn begin(&self, votes_per_second: f64) -> Voting {
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
            request_timeout: PATIENCE,
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running =
            tokio::spawn(
                async move { Load::run(&config, stopped).await.expect("the poll is open") },
            );
        Voting { stop, running }
    }

    /// Everything accepted is counted, and nothing else.
    pub async fn assert_all_is_counted(&self, load: &Load, before: &Observation) {
        let verdict = self.watch.settle(&load.history, before, PATIENCE).await;
        let verdict = verdict.expect("what counts can be seen");
        assert_eq!((verdict.violations, verdict.quiescent), (Vec::new(), true));
    }

    /// Waits until the services say so of a shard.
    pub async fn until_shard_is(&self, shard: usize, up: bool) {
        let series = format!("dependency_up{{dependency=\"queue-{shard}\"}}");
        for service in self.votes.iter().chain(&self.workers) {
            let said = async || Scrape::of(&service.url).await.value(&series) > 0.5;
            eventually(&series, |said| *said == up, said).await;
        }
    }

    /// Begins, and waits until votes flow. Returns what was there before, too.
    pub async fn under_load(&self, votes_per_second: f64) -> (Observation, Voting) {
        let before = self.look().await;
        let voting = self.begin(votes_per_second);
        self.until_accepted(200.0).await;
        (before, voting)
    }

    /// Waits until so many more votes are accepted.
    pub async fn until_accepted(&self, more: f64) {
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

    /// Waits until so many more ballots are stored.
    pub async fn until_stored(&self, more: f64) {
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
            let of_it = metrics
                .series()
                .filter(|(series, _)| series.starts_with(name) && series.contains(label));
            sum += of_it.map(|(_, value)| value).sum::<f64>();
        }
        sum
    }

    /// Waits until every service would get requests, though a shard may be lost. On a busy machine the store may seem lost,
    /// too, for a moment.
    pub async fn until_all_are_ready(&self) {
        for service in self.votes.iter().chain(&self.workers) {
            until_ready(&service.url).await;
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

impl Voting {
    pub async fn stop(self) -> Load {
        self.stop.cancel();
        self.running.await.expect("it does not panic")
    }
}

/// No shard.
pub const NONE: usize = SHARDS;

/// Whoever has another shard than this one was never refused, as far as is remembered.
pub fn assert_accepted_elsewhere(load: &Load, lost: usize) {
    let elsewhere = |voter: &&VoterRecord| voter.voter.shard(SHARDS) != lost;
    for voter in load.history.voters.iter().filter(elsewhere) {
        let refused = |attempt: &Attempt| !matches!(attempt.outcome, Outcome::Accepted(_));
        let refused: Vec<_> = voter.recent.iter().copied().filter(refused).collect();
        assert_eq!(refused, [], "refused without need");
    }
}

/// The lost shard's voters, and nobody else, waited for no receipt, and not for long.
pub fn assert_refused_at_once(load: &Load, lost: usize) {
    assert_accepted_elsewhere(load, lost);
    let slowest = slowest_refusal(load);
    assert!(slowest < AT_ONCE, "{slowest:?}");
}

/// The longest that anybody waited for no receipt.
fn slowest_refusal(load: &Load) -> Duration {
    let attempts = load.history.voters.iter().flat_map(|voter| &voter.recent);
    let refused = attempts.filter(|attempt| !matches!(attempt.outcome, Outcome::Accepted(_)));
    let took = refused
        .map(|attempt| attempt.completed_ms - attempt.sent_ms)
        .max();
    Duration::from_millis(took.expect("somebody was refused").into())
}
