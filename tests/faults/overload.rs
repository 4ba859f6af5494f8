//! More votes come than the queue keeps: what it keeps is kept in time, and all others are told at once to come back. Where
//! it is the service that has too much to do, it sends nobody away, for that would cost as much as serving them.

use std::time::Duration;

use load::{Load, LoadConfig, Observer, schedule::Plan};
use tokio_util::sync::CancellationToken;

use super::{start_ready, until_empty};
use crate::harness::{
    PATIENCE,
    process::Service,
    proxy::{Network, Proxy},
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::get,
};

/// The way to the queue is so narrow that this, and not the machine, is what limits.
const WAY: Network = Network::Narrow(40_000);
/// So many that the last of them would wait longer than the queue may take.
const VOTERS: usize = 600;
/// Long beside what a busy machine adds to an answer.
const ENQUEUE_TIMEOUT: (&str, &str) = ("ENQUEUE_TIMEOUT", "2s");

/// The number of times that a behaviour is looked for at most. Other work on the machine can hide it, and cannot make it up: with the faults that
/// these tests are for it was never seen.
const TRIES: usize = 5;

/// Tries until the behaviour is seen.
async fn seen_once(try_it: impl AsyncFn() -> Result<(), String>) {
    let mut all = Vec::new();
    while all.len() < TRIES {
        let Err(why) = try_it().await else { return };
        all.push(why);
    }
    panic!("in no try: {all:#?}");
}

async fn votes(vote: &Service, connections: usize, plan: Plan) -> Load {
    let config = LoadConfig {
        vote: vec![vote.url.parse().unwrap()],
        voters: VOTERS.max(connections),
        connections,
        plan,
        seed: 1,
        request_timeout: PATIENCE,
    };
    let load = Load::run(&config, CancellationToken::new()).await;
    load.unwrap()
}

async fn metrics(vote: &Service) -> String {
    let metrics = get(&format!("{}/metrics", vote.url)).await;
    metrics.text().await.unwrap()
}

async fn figure(vote: &Service, name: &str) -> u64 {
    let metrics = metrics(vote).await;
    let figure = metrics.lines().find_map(|line| line.strip_prefix(name));
    figure.unwrap().trim().parse().unwrap()
}

/// All votes with this outcome, of every choice.
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
#[ignore = "needs a machine that does nothing else; run it with --ignored"]
async fn of_twice_what_the_queue_keeps_half_is_kept_in_time_and_half_is_refused_at_once() {
    // Each try has servers' storage of its own, for what a try leaves there would be in the way of the next.
    let _there_are_servers = or_skip!(Storage::new(Kind::Servers).await);
    seen_once(twice_what_the_queue_keeps).await;
}

async fn twice_what_the_queue_keeps() -> Result<(), String> {
    let mut storage = Storage::new(Kind::Servers).await?;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let store = storage.store_config();
    let watch = Observer::new(result.url.parse().unwrap(), Some(&store));
    let watch = watch.await.unwrap();
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &[ENQUEUE_TIMEOUT]).await;
    proxy.make(WAY);

    let for_a_while = |rate, seconds| Plan {
        rate,
        duration: Some(Duration::from_secs(seconds)),
        votes: None,
    };
    let sustained = votes(&vote, 32, for_a_while(None, 5)).await;
    let kept = sustained.latencies.accepted.count();
    let attempts = sustained.latencies.attempts();
    if attempts != kept {
        return Err(format!(
            "of {attempts} votes {kept} were accepted, and so many are not too many"
        ));
    }
    until_empty(&storage).await;
    let before = watch.observe_baseline().await.unwrap();
    #[expect(clippy::cast_precision_loss, reason = "it is some hundred")]
    let rate = 2.0 * kept as f64 / sustained.elapsed.as_secs_f64();
    let over = votes(&vote, VOTERS, for_a_while(Some(rate), 10)).await;

    let accepted = over.latencies.accepted.count();
    let (late, refused) = (
        with_outcome(&vote, "timeout").await,
        with_outcome(&vote, "shed").await,
    );
    assert_eq!(figure(&vote, "vote_requests_shed_total ").await, refused);
    assert!(figure(&vote, "vote_admission_limit ").await < VOTERS as u64);
    // What was learnt does not outlive the crowd.
    let few = Plan {
        votes: Some(50),
        ..Plan::default()
    };
    let after = votes(&vote, 8, few).await;
    let accepted_after = after.latencies.accepted.count();
    let mut history = over.history;
    history.voters.extend(after.history.voters);
    proxy.make(Network::Good);
    let verdict = watch.settle(&history, &before, PATIENCE).await.unwrap();
    assert_eq!((verdict.violations, verdict.quiescent), (Vec::new(), true));
    // The line does not eat up the service; whoever is not refused is in time, once it is learnt.
    let is_right = accepted >= kept / 2 && late < accepted / 2 && refused > kept / 4;
    let figures = format!(
        "sustained {kept}, then accepted {accepted}, refused {refused}, late {late}; {accepted_after} of 50 after that"
    );
    println!("{figures}");
    (is_right && accepted_after == 50)
        .then_some(())
        .ok_or(figures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a machine that does nothing else; run it with --ignored"]
async fn a_service_with_too_much_to_do_does_not_blame_the_queue() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    seen_once(async || too_much_to_do(&storage).await).await;
}

async fn too_much_to_do(storage: &Storage) -> Result<(), String> {
    let with_one_thread = async |enqueue_timeout: &str, count| {
        let settings = [
            ("TOKIO_WORKER_THREADS", "1"),
            ("ENQUEUE_TIMEOUT", enqueue_timeout),
        ];
        let vote = start_ready("vote", storage, &settings).await;
        let crowd = Plan {
            votes: Some(count),
            ..Plan::default()
        };
        votes(&vote, 1000, crowd).await.latencies
    };
    let wait_ms = with_one_thread("1m", 3000).await.accepted.quantile_ms(0.5);
    // Most of so many wait longer for the one thread than the queue may take, however fast the machine is.
    let timeout = format!("{:.0}ms", wait_ms / 2.5);
    let accepted = with_one_thread(&timeout, 20_000).await.accepted.count();
    // When lateness was taken for the queue's, half of them were accepted at best.
    let figures = format!("{accepted} of 20000 accepted with ENQUEUE_TIMEOUT={timeout}");
    println!("{figures}");
    (accepted > 15_000).then_some(()).ok_or(figures)
}
