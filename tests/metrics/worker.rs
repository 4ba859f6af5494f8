//! What happens to ballots on their way into the store, and to its connections.

use poll::ballot::{Ballot, VoterId};
use queue::Queue;
use sqlx::{Executor, PgPool};

use super::PROMPT;
use crate::{
    faults::start_ready,
    harness::{
        eventually, postgres,
        process::Service,
        scrape::{Scrape, exactly, until},
        skip::or_skip,
        storage::{Kind, SOON, Storage, poll},
    },
};

async fn enqueue(queue: &Queue, voter: VoterId) {
    let ballot = Ballot {
        voter,
        choice: poll().choice("a").unwrap(),
        traceparent: None,
    };
    queue.enqueue(&ballot).await.unwrap();
}

fn entries(outcome: &str) -> String {
    format!("worker_ballots_processed_total{{outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_ballots_is_counted() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let queue = storage.queue().await;
    let voter = VoterId::random();
    enqueue(&queue, voter).await;
    // A worker stored it and died before it could say so.
    let mut dead = queue.consumer("dead");
    let mut taken = Vec::new();
    while taken.is_empty() {
        taken = dead.next(1, SOON).await.unwrap();
    }
    let ballot = taken[0].open(&poll()).unwrap();
    storage.store().await.apply(&[ballot], &[]).await.unwrap();
    storage.enqueue_raw(&[("nonsense", "1")]).await;

    let worker = start_ready("worker", &storage, &[]).await;
    until(&worker.url, &entries("stale"), |count| count > 0.0).await;
    until(&worker.url, &entries("dead_letter"), |count| count > 0.0).await;
    enqueue(&queue, VoterId::random()).await;
    until(&worker.url, &entries("applied"), |count| count > 0.0).await;
    let now = Scrape::of(&worker.url).await;
    for (series, expected) in [
        (entries("applied").as_str(), 1.0),
        (&entries("stale"), 1.0),
        (&entries("dead_letter"), 1.0),
        ("worker_ballots_reclaimed_total", 1.0),
        ("worker_end_to_end_latency_seconds_count", 3.0),
    ] {
        assert_eq!(now.find(series), Some(expected), "{series}");
    }
    let latency = now.value("worker_end_to_end_latency_seconds_sum");
    assert!(latency > 0.0 && latency < 600.0, "{latency}");
    let success = "worker_last_success_timestamp_seconds";
    until(&worker.url, success, |moment| moment > 1_700_000_000.0).await;
}

/// While the store hangs, what waits is still measured: it is then that somebody must be told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_is_measured_while_the_store_is_away() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::own())));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // One turn of the loop takes longer than the test, and there is no other loop.
    let patient = [("STORE_TIMEOUT", "1h"), ("WORKER_CONCURRENCY", "1")];
    let worker = start_ready("worker", &storage, &patient).await;
    let queue = storage.queue().await;
    enqueue(&queue, VoterId::random()).await;
    until(&worker.url, &entries("applied"), |count| count > 0.0).await;
    let [pending, lag, age] = [
        "worker_stream_pending_entries",
        "worker_stream_lag_entries",
        "worker_oldest_unacked_age_seconds",
    ];
    until(&worker.url, age, exactly(0.0)).await;

    server.server.freeze();
    enqueue(&queue, VoterId::random()).await;
    until(&worker.url, pending, |pending| pending > 0.0).await;
    for _ in 0..3 {
        enqueue(&queue, VoterId::random()).await;
    }
    until(&worker.url, lag, |lag| lag > 2.0).await;
    let first = until(&worker.url, age, |age| age > 0.0).await;
    until(&worker.url, age, |age| age > first + 1.0).await;

    server.server.thaw();
    for gauge in [pending, lag, age] {
        until(&worker.url, gauge, exactly(0.0)).await;
    }
    until(&worker.url, &entries("applied"), |count| count > 4.0).await;
    drop(database);
    server.server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_attempts_and_the_databases_errors_are_counted() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::own())));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    let worker = start_ready("worker", &storage, &PROMPT).await;
    let url = &worker.url;
    let used = "db_pool_connections{state=\"used\"}";
    until(url, "db_pool_connections{state=\"idle\"}", |idle| {
        idle > 0.0
    })
    .await;
    until(url, "db_pool_wait_seconds_count", |waits| waits > 0.0).await;
    let queue = storage.queue().await;
    let errors = |class| format!("db_errors_total{{class=\"{class}\"}}");

    let superuser = PgPool::connect(&database.url()).await.unwrap();
    let mut locked = superuser.begin().await.unwrap();
    let lock = "LOCK TABLE votes IN ACCESS EXCLUSIVE MODE";
    locked.execute(lock).await.unwrap();
    enqueue(&queue, VoterId::random()).await;
    let lost = async || {
        let end_all_that_wait = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted";
        superuser.execute(end_all_that_wait).await.unwrap();
        Scrape::of(url).await.find(&errors("transient"))
    };
    eventually("a lost connection", |lost| *lost > Some(0.0), lost).await;
    locked.rollback().await.unwrap();
    superuser.close().await;
    until(url, &entries("applied"), |applied| applied > 0.0).await;

    server.server.freeze();
    enqueue(&queue, VoterId::random()).await;
    until(url, used, |used| used > 0.0).await;
    until(url, &entries("retry"), |retries| retries > 0.0).await;
    until(url, &errors("timeout"), |errors| errors > 0.0).await;
    let now = Scrape::of(url).await;
    assert_eq!(now.find(&errors("permanent")), Some(0.0));
    drop(database);
    server.server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_for_ever_is_an_error_of_its_own() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.store().await;
    let refused = VoterId::random();
    crate::mover::refuse_in_the_store(&storage, refused).await;
    let worker = Service::start("worker", &storage, &PROMPT);
    enqueue(&storage.queue().await, refused).await;
    let permanent = "db_errors_total{class=\"permanent\"}";
    until(&worker.url, permanent, |errors| errors > 0.0).await;
}
