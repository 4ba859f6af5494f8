//! A worker dies between commit and acknowledgement, or hangs.

use reqwest::StatusCode;
use sqlx::{Connection, PgConnection};

use super::{start_ready, wait_for_metric, wait_until_unready};
use crate::{
    harness::{
        eventually, postgres,
        process::Service,
        redis,
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::get_json,
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_commit_and_acknowledgement_changes_nothing() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let may_acknowledge = |rule: &str| {
        let mut acl = ::redis::cmd("ACL");
        acl.arg("SETUSER").arg("default").arg(rule);
        acl.exec(&mut redis.connect()).unwrap();
    };
    let vote = start_ready("vote", &storage, &[]).await;
    let mut worker = start_ready("worker", &storage, &[]).await;
    // Stops the worker exactly there: it can store ballots but not acknowledge them.
    may_acknowledge("-xack");
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    Voter::new(&vote.url).must_vote_for("b").await;
    let counted = async || storage.count_votes().await;
    let both = [("a".to_owned(), 1), ("b".to_owned(), 1)];
    // It may store one ballot before the other, which is then still in the queue.
    eventually("a commit", |votes| !votes.is_empty(), counted).await;
    worker.process.wait_for_line("processing ballots failed");
    worker.process.kill();
    may_acknowledge("+xack");

    let worker = start_ready("worker", &storage, &[]).await;
    wait_for_metric(&worker, "worker_stream_pending_entries 0").await;
    eventually("both votes", |votes| *votes == both, counted).await;
    let queue = storage.queue().await;
    let oldest = async || queue.consumer("observer").trim().await.unwrap().oldest;
    eventually("an empty queue", Option::is_none, oldest).await;
    assert_eq!(counted().await, both);
    let metrics = crate::harness::viewer::get(&format!("{}/metrics", worker.url)).await;
    let metrics = metrics.text().await.unwrap();
    assert!(
        !metrics.contains("worker_ballots_processed_total{outcome=\"stale\"} 0\n"),
        "no ballot was delivered again: {metrics}"
    );
    assert_counts_are_right(&storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_reports_a_hanging_loop_but_not_a_long_migration() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::dedicated())));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // The table of the original app, locked by another connection: the migration waits for the lock.
    storage
        .execute("CREATE TABLE votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL)")
        .await;
    let mut holder = PgConnection::connect(&storage.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE votes IN ACCESS EXCLUSIVE MODE")
        .execute(&mut holder)
        .await
        .unwrap();
    let settings = [
        ("WORKER_CONCURRENCY", "1"),
        ("WORKER_LIVENESS_TIMEOUT", "1s"),
        ("STORE_TIMEOUT", "1h"),
    ];
    let worker = Service::start("worker", &storage, &settings);
    let waits = async || {
        let waiting = "SELECT 'locks', count(*) FROM pg_locks WHERE NOT granted";
        storage.rows(waiting).await[0].1
    };
    eventually("a waiting migration", |waiting| *waiting >= 1, waits).await;
    // Longer than the liveness timeout.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let health = async || get_json(&format!("{}/health", worker.url)).await.0;
    assert_eq!(health().await, StatusCode::OK);
    wait_until_unready(&worker, &["tables", "processor"]).await;
    sqlx::raw_sql("COMMIT").execute(&mut holder).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    let counted = async || storage.count_votes_if_ready().await;
    eventually("the first vote", |votes| !votes.is_empty(), counted).await;

    server.server.freeze();
    Voter::new(&vote.url).must_vote_for("a").await;
    let hangs = |status: &StatusCode| *status == StatusCode::SERVICE_UNAVAILABLE;
    eventually("a 503 of /health", hangs, health).await;
    server.server.thaw();
    eventually("/health", |status| *status == StatusCode::OK, health).await;
    drop(holder);
    drop(database);
    server.server.kill();
}
