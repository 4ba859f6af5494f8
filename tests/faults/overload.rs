//! More votes arrive than the queue can accept: votes within its capacity are accepted in time, and all others are rejected
//! at once with a `Retry-After`. If the service's CPU is the bottleneck, no vote is rejected, because a rejection would cost
//! as much as an acceptance.

use std::time::Duration;

use load::{Load, LoadConfig, Observer, schedule::Plan};
use tokio_util::sync::CancellationToken;

use super::{start_ready, wait_until_empty};
use crate::harness::{
    TIMEOUT,
    process::Service,
    proxy::{Proxy, Toxic},
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::get,
};

/// A bandwidth to the queue that is the bottleneck instead of the machine.
const BANDWIDTH: Toxic = Toxic::Bandwidth(40_000);
/// Enough voters that the last of them would wait longer than the enqueue timeout.
const VOTERS: usize = 600;
/// Long compared with the latency that a busy machine adds.
const ENQUEUE_TIMEOUT: (&str, &str) = ("ENQUEUE_TIMEOUT", "2s");

/// The maximum number of attempts to observe the behaviour. Other load on the machine can hide it but cannot fake it: with
/// the bugs that these tests detect it was never observed.
const MAX_ATTEMPTS: usize = 5;

/// Retries until the behaviour is observed once.
async fn observed_once(attempt: impl AsyncFn() -> Result<(), String>) {
    let mut all = Vec::new();
    while all.len() < MAX_ATTEMPTS {
        let Err(figures) = attempt().await else {
            return;
        };
        all.push(figures);
    }
    panic!("in no attempt: {all:#?}");
}

async fn votes(vote: &Service, connections: usize, plan: Plan) -> Load {
    let config = LoadConfig {
        vote: vec![vote.url.parse().unwrap()],
        voters: VOTERS.max(connections),
        connections,
        plan,
        seed: 1,
        request_timeout: TIMEOUT,
    };
    let load = Load::run(&config, CancellationToken::new()).await;
    load.unwrap()
}

async fn metrics(vote: &Service) -> String {
    let metrics = get(&format!("{}/metrics", vote.url)).await;
    metrics.text().await.unwrap()
}

async fn metric(vote: &Service, name: &str) -> u64 {
    let metrics = metrics(vote).await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap().trim().parse().unwrap()
}

/// The number of votes with this outcome, for all choices.
async fn with_outcome(vote: &Service, outcome: &str) -> u64 {
    let metrics = metrics(vote).await;
    let of_it = format!("outcome=\"{outcome}\"}} ");
    let counts = metrics.lines().filter_map(|line| {
        line.strip_prefix("vote_submissions_total{")?
            .split_once(&of_it)?
            .1
            .parse::<u64>()
            .ok()
    });
    counts.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an idle machine; run it with --ignored"]
async fn at_twice_the_capacity_half_of_the_votes_are_accepted_and_half_rejected() {
    // Each attempt has storage of its own, because leftovers of an attempt would disturb the next.
    let _requires_servers = or_skip!(Storage::new(Backend::Servers).await);
    observed_once(twice_the_capacity).await;
}

async fn twice_the_capacity() -> Result<(), String> {
    let mut storage = Storage::new(Backend::Servers).await?;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let store = storage.store_config();
    let observer = Observer::new(result.url.parse().unwrap(), Some(&store));
    let observer = observer.await.unwrap();
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &[ENQUEUE_TIMEOUT]).await;
    proxy.set_toxic(BANDWIDTH);

    let for_a_while = |rate, seconds| Plan {
        rate,
        duration: Some(Duration::from_secs(seconds)),
        votes: None,
    };
    let sustained = votes(&vote, 32, for_a_while(None, 5)).await;
    let sustained_count = sustained.latencies.accepted.count();
    let attempts = sustained.latencies.attempts();
    if attempts != sustained_count {
        return Err(format!(
            "{sustained_count} of {attempts} votes were accepted: the sustained load is already too high"
        ));
    }
    wait_until_empty(&storage).await;
    let before = observer.observe_baseline().await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "the count is a few hundred")]
    let rate = 2.0 * sustained_count as f64 / sustained.elapsed.as_secs_f64();
    let over = votes(&vote, VOTERS, for_a_while(Some(rate), 10)).await;

    let accepted = over.latencies.accepted.count();
    let (late, rejected) = (
        with_outcome(&vote, "timeout").await,
        with_outcome(&vote, "shed").await,
    );
    assert_eq!(metric(&vote, "vote_requests_shed_total ").await, rejected);
    assert!(metric(&vote, "vote_admission_limit ").await < VOTERS as u64);
    // The limit recovers after the overload.
    let few = Plan {
        votes: Some(50),
        ..Plan::default()
    };
    let after = votes(&vote, 8, few).await;
    let accepted_after = after.latencies.accepted.count();
    let mut history = over.history;
    history.voters.extend(after.history.voters);
    proxy.set_toxic(Toxic::None);
    let verdict = observer.settle(&history, &before, TIMEOUT).await.unwrap();
    assert_eq!((verdict.violations, verdict.quiescent), (Vec::new(), true));
    // The throughput stays at least at half of the sustained one, and once the limit has adapted, accepted votes are in time.
    let is_correct =
        accepted >= sustained_count / 2 && late < accepted / 2 && rejected > sustained_count / 4;
    let figures = format!(
        "sustained {sustained_count}, then accepted {accepted}, rejected {rejected}, late {late}; {accepted_after} of 50 after that"
    );
    println!("{figures}");
    (is_correct && accepted_after == 50)
        .then_some(())
        .ok_or(figures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an idle machine; run it with --ignored"]
async fn cpu_overload_is_not_attributed_to_the_queue() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    observed_once(async || cpu_overload(&storage).await).await;
}

async fn cpu_overload(storage: &Storage) -> Result<(), String> {
    let with_one_thread = async |enqueue_timeout: &str, count| {
        let settings = [
            ("TOKIO_WORKER_THREADS", "1"),
            ("ENQUEUE_TIMEOUT", enqueue_timeout),
        ];
        let vote = start_ready("vote", storage, &settings).await;
        let burst = Plan {
            votes: Some(count),
            ..Plan::default()
        };
        votes(&vote, 1000, burst).await.latencies
    };
    let wait_ms = with_one_thread("1m", 3000).await.accepted.quantile_ms(0.5);
    // Most of these votes wait longer for the one thread than the enqueue timeout, however fast the machine is.
    let timeout = format!("{:.0}ms", wait_ms / 2.5);
    let accepted = with_one_thread(&timeout, 20_000).await.accepted.count();
    // When this latency was attributed to the queue, at most half of the votes were accepted.
    let figures = format!("{accepted} of 20000 accepted with ENQUEUE_TIMEOUT={timeout}");
    println!("{figures}");
    (accepted > 15_000).then_some(()).ok_or(figures)
}
