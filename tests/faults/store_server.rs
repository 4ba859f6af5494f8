//! The store's server is restarted immediately, or is read-only.

use tokio::time::Instant;

use super::{
    PROMPT, assert_nothing_is_lost_or_doubled, start_ready, until_ready, until_unready_because,
};
use crate::harness::{
    crowd::Crowd,
    eventually, postgres,
    process::Service,
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::{Viewer, until_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_recover_from_an_immediate_restart_of_postgres() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::own())));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // Default timeouts, because the queue has no fault.
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &PROMPT).await;
    let result = start_ready("result", &storage, &PROMPT).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    let crowd = Crowd::gather(&vote.url, 4);
    crowd.accepts(50).await;

    server.server.quit();
    crowd.accepts(50).await;
    server.server.start();
    server.wait_until_ready().await;
    let restarted = Instant::now();
    let counted = async || storage.counted_if_ready().await;
    let before = counted().await;
    eventually("counted votes", |votes| *votes != before, counted).await;
    println!(
        "votes are counted {:?} after Postgres was restarted",
        restarted.elapsed()
    );
    until_ready(&worker.url).await;

    let counts = crowd.go_home().await;
    assert_eq!((counts.refused(), counts.broken()), (0, 0), "no vote fails");
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
    let counted = storage.counted().await[0].1.unsigned_abs();
    viewer.until_votes(&[counted, 0]).await;
    drop(database);
    server.server.kill();
}

/// A schedule of random faults may stop a server that has just been started and does not handle signals yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_starting_postgres_can_be_stopped() {
    let postgres = or_skip!(postgres::own());
    postgres.server.kill();
    for _ in 0..3 {
        postgres.server.start();
        postgres.server.quit();
    }
    postgres.server.start();
    postgres.wait_until_ready().await;
    postgres.server.kill();
}

/// A standby returns the same error as this setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_reports_and_result_serves_a_read_only_postgres() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.store().await;
    let name = storage.database_url.rsplit_once('/').unwrap().1;
    let name = name.split('?').next().unwrap();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only");
    storage.execute(&format!("{read_only} = on")).await;
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let worker = Service::start("worker", &storage, &PROMPT);
    let result = start_ready("result", &storage, &PROMPT).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    until_unready_because(&worker, &["takes no writes", "DATABASE_URL"]).await;
    worker.process.line_with("read-only transaction");
    until_votes(&result.url, &[0, 0]).await;

    storage
        .execute(&format!("BEGIN READ WRITE; {read_only} = off; COMMIT"))
        .await;
    until_ready(&worker.url).await;
    until_votes(&result.url, &[1, 0]).await;
}
