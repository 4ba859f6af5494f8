//! The store's server is restarted in a hurry, or takes no writes.

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
async fn an_immediate_restart_of_postgres_heals_alone() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::own())));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // Nothing is wrong with the queue, however busy the machine is.
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
    let back = Instant::now();
    let counted = async || storage.counted_if_ready().await;
    let before = counted().await;
    eventually("counted votes", |votes| *votes != before, counted).await;
    println!(
        "votes are counted {:?} after Postgres is back",
        back.elapsed()
    );
    until_ready(&worker.url).await;

    let counts = crowd.go_home().await;
    assert_eq!(
        (counts.refused(), counts.broken()),
        (0, 0),
        "voters notice nothing"
    );
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
    let counted = storage.counted().await[0].1.unsigned_abs();
    viewer.until_votes(&[counted, 0]).await;
    drop(database);
    server.server.kill();
}

/// The schedule of faults may end a server that has just been started, which hears nothing yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_is_only_starting_can_be_ended() {
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

/// A standby says the same as this setting does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_takes_no_writes_is_said_by_the_worker_and_shown_by_the_result() {
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
