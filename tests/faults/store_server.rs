//! The store's server is restarted immediately, or is read-only.

use tokio::time::Instant;

use super::{
    SHORT_TIMEOUTS, assert_no_vote_lost_or_duplicated, start_ready, wait_until_ready,
    wait_until_unready,
};
use crate::harness::{
    client_pool::ClientPool,
    eventually, postgres,
    process::Service,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::{Viewer, wait_for_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_recover_from_an_immediate_restart_of_postgres() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::dedicated())));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // Default timeouts, because the queue has no fault.
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let result = start_ready("result", &storage, &SHORT_TIMEOUTS).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    let clients = ClientPool::start(&vote.url, 4);
    clients.wait_for_accepted(50).await;

    server.server.quit();
    clients.wait_for_accepted(50).await;
    server.server.start();
    server.wait_until_ready().await;
    let restarted = Instant::now();
    let counted = async || storage.count_votes_if_ready().await;
    let before = counted().await;
    eventually("counted votes", |votes| *votes != before, counted).await;
    println!(
        "votes are counted {:?} after Postgres was restarted",
        restarted.elapsed()
    );
    wait_until_ready(&worker.url).await;

    let counts = clients.stop().await;
    assert_eq!(
        (counts.rejected(), counts.failed()),
        (0, 0),
        "no vote fails"
    );
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
    let counted = storage.count_votes().await[0].1.unsigned_abs();
    viewer.wait_for_votes(&[counted, 0]).await;
    drop(database);
    server.server.kill();
}

/// A schedule of random faults may stop a server that has just been started and does not handle signals yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_starting_postgres_can_be_stopped() {
    let postgres = or_skip!(postgres::dedicated());
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
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.store().await;
    let name = storage.database_url.rsplit_once('/').unwrap().1;
    let name = name.split('?').next().unwrap();
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only");
    storage.execute(&format!("{read_only} = on")).await;
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let worker = Service::start("worker", &storage, &SHORT_TIMEOUTS);
    let result = start_ready("result", &storage, &SHORT_TIMEOUTS).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_until_unready(&worker, &["the server is read-only", "DATABASE_URL"]).await;
    worker.process.wait_for_line("read-only transaction");
    wait_for_votes(&result.url, &[0, 0]).await;

    storage
        .execute(&format!("BEGIN READ WRITE; {read_only} = off; COMMIT"))
        .await;
    wait_until_ready(&worker.url).await;
    wait_for_votes(&result.url, &[1, 0]).await;
}
