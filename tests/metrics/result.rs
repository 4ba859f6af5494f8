//! Connections of viewers, the events that they receive, and the age of the tally.

use super::SHORT_TIMEOUTS;
use crate::{
    faults::start_ready,
    harness::{
        postgres,
        process::Service,
        scrape::{Scrape, exactly, wait_for_value},
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::{Viewer, get},
        voter::Voter,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_and_sent_events_are_counted() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready(
        "result",
        &storage,
        &[("MAX_VIEWERS", "2"), ("MAX_VIEWERS_PER_ADDRESS", "2")],
    )
    .await;
    let (clients, sent) = (
        "result_sse_connections",
        "result_sse_events_total{outcome=\"sent\"}",
    );
    let mut viewers = [
        Viewer::open(&result.url, None).await,
        Viewer::open(&result.url, None).await,
    ];
    wait_for_value(&result.url, clients, exactly(2.0)).await;
    wait_for_value(&result.url, sent, exactly(2.0)).await;
    get(&format!("{}/events", result.url)).await;
    wait_for_value(
        &result.url,
        "result_sse_connections_rejected_total",
        exactly(1.0),
    )
    .await;
    Voter::new(&vote.url).must_vote_for("a").await;
    for viewer in &mut viewers {
        viewer.wait_for_votes(&[1, 0]).await;
    }
    let now = Scrape::of(&result.url).await;
    assert_eq!(now.find(sent), Some(4.0));
    assert_eq!(
        now.find("result_sse_events_total{outcome=\"skipped\"}"),
        Some(0.0)
    );
    drop(viewers);
    wait_for_value(&result.url, clients, exactly(0.0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_snapshot_age_grows_while_the_store_hangs() {
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::dedicated())));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = server.database().await;
    storage.database_url = database.url();
    // A single attempt to read the tally takes longer than the test.
    let long_timeout = [("STORE_TIMEOUT", "1h")];
    let result = start_ready("result", &storage, &long_timeout).await;
    let age = "result_snapshot_age_seconds";
    server.server.freeze();
    wait_for_value(&result.url, age, |age| age > 4.0).await;
    server.server.thaw();
    wait_for_value(&result.url, age, |age| age < 4.0).await;

    // Without any tally, the age is the time since the start.
    server.server.freeze();
    let without_tally = Service::start("result", &storage, &SHORT_TIMEOUTS);
    wait_for_value(&without_tally.url, age, |age| age > 1.0).await;
    drop(database);
    server.server.kill();
}
