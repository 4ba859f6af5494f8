//! Outcomes of ballots, the backlog, and the connections to the store.

use poll::ballot::{Ballot, VoterId};
use queue::Queue;
use sqlx::{Executor, PgPool};

use super::SHORT_TIMEOUTS;
use crate::{
    faults::start_ready,
    harness::{
        eventually, postgres,
        process::Service,
        scrape::{Scrape, exactly, wait_for_value},
        skip::or_skip,
        storage::{Backend, READ_TIMEOUT, Storage, known_polls, poll},
    },
};

async fn enqueue(queue: &Queue, voter: VoterId) {
    let ballot = Ballot {
        poll: poll().id,
        voter,
        choice: poll().choice("a").unwrap(),
        traceparent: None,
    };
    queue.enqueue(&ballot).await.unwrap();
}

/// The series that counts processed ballots with this outcome.
fn processed(outcome: &str) -> String {
    format!("worker_ballots_processed_total{{outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_of_a_ballot_is_counted() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let queue = storage.queue().await;
    let voter = VoterId::random();
    enqueue(&queue, voter).await;
    // A worker stored the ballot and died before the acknowledgement.
    let mut dead = queue.consumer("dead");
    let mut delivered = Vec::new();
    while delivered.is_empty() {
        delivered = dead.read(1, READ_TIMEOUT).await.unwrap();
    }
    let ballot = delivered[0].parse(&known_polls()).unwrap();
    storage
        .store()
        .await
        .upsert_ballots(&[ballot], &[])
        .await
        .unwrap();
    storage.enqueue_raw(&[("nonsense", "1")]).await;

    let worker = start_ready("worker", &storage, &[]).await;
    wait_for_value(&worker.url, &processed("stale"), |count| count > 0.0).await;
    wait_for_value(&worker.url, &processed("dead_letter"), |count| count > 0.0).await;
    enqueue(&queue, VoterId::random()).await;
    wait_for_value(&worker.url, &processed("applied"), |count| count > 0.0).await;
    let now = Scrape::of(&worker.url).await;
    for (series, expected) in [
        (processed("applied").as_str(), 1.0),
        (&processed("stale"), 1.0),
        (&processed("dead_letter"), 1.0),
        ("worker_ballots_reclaimed_total", 1.0),
        ("worker_end_to_end_latency_seconds_count", 3.0),
    ] {
        assert_eq!(now.find(series), Some(expected), "{series}");
    }
    let latency = now.value("worker_end_to_end_latency_seconds_sum");
    assert!(latency > 0.0 && latency < 600.0, "{latency}");
    let success = "worker_last_success_timestamp_seconds";
    wait_for_value(&worker.url, success, |timestamp| {
        timestamp > 1_700_000_000.0
    })
    .await;
}

/// While the store hangs, alerts need the backlog.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_is_measured_while_the_store_hangs() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::dedicated())));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // A single batch takes longer than the test, and there is no second processor.
    let long_timeout = [("STORE_TIMEOUT", "1h"), ("WORKER_CONCURRENCY", "1")];
    let worker = start_ready("worker", &storage, &long_timeout).await;
    let queue = storage.queue().await;
    enqueue(&queue, VoterId::random()).await;
    wait_for_value(&worker.url, &processed("applied"), |count| count > 0.0).await;
    let [pending, lag, age] = [
        "worker_stream_pending_entries",
        "worker_stream_lag_entries",
        "worker_oldest_unacked_age_seconds",
    ];
    wait_for_value(&worker.url, age, exactly(0.0)).await;

    server.server.freeze();
    enqueue(&queue, VoterId::random()).await;
    wait_for_value(&worker.url, pending, |pending| pending > 0.0).await;
    for _ in 0..3 {
        enqueue(&queue, VoterId::random()).await;
    }
    wait_for_value(&worker.url, lag, |lag| lag > 2.0).await;
    let first = wait_for_value(&worker.url, age, |age| age > 0.0).await;
    wait_for_value(&worker.url, age, |age| age > first + 1.0).await;

    server.server.thaw();
    for gauge in [pending, lag, age] {
        wait_for_value(&worker.url, gauge, exactly(0.0)).await;
    }
    wait_for_value(&worker.url, &processed("applied"), |count| count > 4.0).await;
    drop(database);
    server.server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_and_database_errors_are_counted() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::dedicated())));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    let worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let url = &worker.url;
    let used = "db_pool_connections{state=\"used\"}";
    wait_for_value(url, "db_pool_connections{state=\"idle\"}", |idle| {
        idle > 0.0
    })
    .await;
    wait_for_value(url, "db_pool_wait_seconds_count", |waits| waits > 0.0).await;
    let queue = storage.queue().await;
    let errors = |class| format!("db_errors_total{{class=\"{class}\"}}");

    let superuser = PgPool::connect(&database.url()).await.unwrap();
    let mut locked = superuser.begin().await.unwrap();
    let lock = "LOCK TABLE votes IN ACCESS EXCLUSIVE MODE";
    locked.execute(lock).await.unwrap();
    enqueue(&queue, VoterId::random()).await;
    let lost = async || {
        let terminate_waiting = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted";
        superuser.execute(terminate_waiting).await.unwrap();
        Scrape::of(url).await.find(&errors("transient"))
    };
    eventually("a lost connection", |lost| *lost > Some(0.0), lost).await;
    locked.rollback().await.unwrap();
    superuser.close().await;
    wait_for_value(url, &processed("applied"), |applied| applied > 0.0).await;

    server.server.freeze();
    enqueue(&queue, VoterId::random()).await;
    wait_for_value(url, used, |used| used > 0.0).await;
    wait_for_value(url, &processed("retry"), |retries| retries > 0.0).await;
    wait_for_value(url, &errors("timeout"), |errors| errors > 0.0).await;
    let now = Scrape::of(url).await;
    assert_eq!(now.find(&errors("permanent")), Some(0.0));
    drop(database);
    server.server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejections_by_the_database_are_permanent_errors() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.store().await;
    let rejected = VoterId::random();
    crate::ballot_processor::reject_in_the_store(&storage, rejected).await;
    let worker = Service::start("worker", &storage, &SHORT_TIMEOUTS);
    enqueue(&storage.queue().await, rejected).await;
    let permanent = "db_errors_total{class=\"permanent\"}";
    wait_for_value(&worker.url, permanent, |errors| errors > 0.0).await;
}
