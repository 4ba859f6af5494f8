//! Two polls at once, as during a rolling update of the settings: every replica has one of them.

use std::time::Duration;

use load::{Load, LoadConfig, Observer, check::Observation, schedule::Plan};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::start_ready;
use crate::{
    harness::{
        TIMEOUT,
        process::Service,
        skip::or_skip,
        storage::{Backend, Storage},
    },
    store_contract::assert_counts_are_right,
};

type Settings = &'static [(&'static str, &'static str)];

/// The settings of both polls.
const POLLS: [Settings; 2] = [
    &[],
    &[
        ("POLL_ID", "tea"),
        ("POLL_OPTIONS", "a=Tea,b=Coffee,c=Water"),
    ],
];
/// Number of workers that are killed, in turn with the settings of each poll.
const KILLS: usize = 6;

/// The services of one poll, and voters who vote until `stop` is cancelled.
struct Side {
    _vote: Service,
    _result: Service,
    observer: Observer,
    before: Observation,
    stop: CancellationToken,
    voting: JoinHandle<Load>,
}

impl Side {
    async fn start(storage: &Storage, settings: Settings) -> Self {
        let vote = start_ready("vote", storage, settings).await;
        let result = start_ready("result", storage, settings).await;
        let store = storage.store_config();
        let observer = Observer::new(result.url.parse().unwrap(), Some(&store));
        let observer = observer.await.unwrap();
        let before = observer.observe_baseline().await.unwrap();
        let config = LoadConfig {
            vote: vec![vote.url.parse().unwrap()],
            voters: 200,
            connections: 8,
            plan: Plan {
                rate: Some(300.0),
                ..Plan::default()
            },
            seed: 7,
            request_timeout: Duration::from_secs(5),
        };
        let stop = CancellationToken::new();
        let running = stop.clone();
        let voting = tokio::spawn(async move { Load::run(&config, running).await.unwrap() });
        Self {
            _vote: vote,
            _result: result,
            observer,
            before,
            stop,
            voting,
        }
    }

    /// Stops the voters, and checks that all accepted votes are counted in this poll, and no others.
    async fn check(self) {
        self.stop.cancel();
        let load = self.voting.await.unwrap();
        assert!(load.latencies.accepted.count() > 0, "votes are accepted");
        let settled = self.observer.settle(&load.history, &self.before, TIMEOUT);
        let verdict = settled.await.unwrap();
        assert_eq!((verdict.violations, verdict.quiescent), (Vec::new(), true));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_in_two_polls_are_counted_apart_while_workers_are_killed() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let sides = [
        Side::start(&storage, POLLS[0]).await,
        Side::start(&storage, POLLS[1]).await,
    ];
    let worker = async |poll: usize| {
        let claim = [("WORKER_CLAIM_MIN_IDLE", "500ms")];
        start_ready("worker", &storage, &[POLLS[poll], &claim].concat()).await
    };
    for kill in 0..KILLS {
        worker(kill % 2).await.process.kill();
    }
    // A worker with one of the polls counts the votes in both.
    let last = worker(0).await;
    for side in sides {
        side.check().await;
    }
    drop(last);
    assert_eq!(storage.store().await.dead_letters().await.unwrap(), []);
    assert_counts_are_right(&storage).await;
}
