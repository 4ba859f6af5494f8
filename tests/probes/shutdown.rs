//! The steps of a shutdown on SIGTERM, and their order.

use std::time::Instant;

use reqwest::StatusCode;
use rustix::process::Signal;

use super::faults::{Fault, Servers};
use crate::{
    faults::start_ready,
    harness::{
        eventually,
        process::Service,
        raw::RawClient,
        scrape::wait_for_value,
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::{Viewer, get, get_json, votes},
        voter::Voter,
    },
};

async fn ready(service: &Service) -> StatusCode {
    get_json(&format!("{}/ready", service.url)).await.0
}

/// Sends SIGTERM and checks that the service logs it, then becomes unready, and stays healthy.
async fn terminate(service: &Service) {
    service.process.signal(Signal::TERM);
    service.process.wait_for_line("draining");
    assert_eq!(ready(service).await, StatusCode::SERVICE_UNAVAILABLE);
    let (health, _) = get_json(&format!("{}/health", service.url)).await;
    assert_eq!(health, StatusCode::OK, "a draining service is healthy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_services_become_unready_then_drain_then_exit() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    // Real time passes in other processes. All steps of this test fit into the drain, on a busy machine, too.
    let drains = [("DRAIN_DELAY", "8s")];
    let mut vote = start_ready("vote", &storage, &drains).await;
    let mut result = start_ready("result", &storage, &drains).await;
    let mut worker = start_ready("worker", &storage, &drains).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    viewer.wait_for_votes(&[0, 0]).await;

    let began = Instant::now();
    for service in [&vote, &result, &worker] {
        terminate(service).await;
    }
    // All functions still work, including the open event stream of a viewer.
    Voter::new(&vote.url).must_vote_for("a").await;
    viewer.wait_for_votes(&[1, 0]).await;
    let page = get(&result.url).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(ready(&vote).await, StatusCode::SERVICE_UNAVAILABLE);
    while let Some(event) = viewer.next().await {
        // On a slow machine the tally can be sent again, because its staleness changed.
        if event.kind != "heartbeat" {
            assert_eq!(votes(&serde_json::from_str(&event.data).unwrap()), [1, 0]);
        }
    }
    assert!(began.elapsed().as_secs() >= 7, "the stream ended too early");
    for service in [&mut vote, &mut result, &mut worker] {
        assert!(service.process.wait().success());
    }
}

/// In-flight work can take forever: a client that never finishes its request, a server that never replies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_flight_work_is_aborted_at_the_shutdown_timeout() {
    let servers = or_skip!(Servers::start().await);
    let long_timeouts = [
        ("SHUTDOWN_TIMEOUT", "1s"),
        ("STORE_TIMEOUT", "1h"),
        ("ENQUEUE_TIMEOUT", "1h"),
    ];
    let mut vote = start_ready("vote", &servers.storage, &long_timeouts).await;
    let mut worker = start_ready("worker", &servers.storage, &long_timeouts).await;
    let mut result = start_ready("result", &servers.storage, &long_timeouts).await;
    servers.store.inject(Fault::Frozen).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    let pending = "worker_stream_pending_entries";
    wait_for_value(&worker.url, pending, |pending| pending > 0.0).await;
    let mut half = RawClient::open(&vote.url).await;
    half.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 6\r\n\r\nvo")
        .await;
    let posts = "http_server_active_requests{http_request_method=\"POST\"}";
    wait_for_value(&vote.url, posts, |posts| posts > 0.0).await;
    for service in [&mut vote, &mut worker, &mut result] {
        assert!(service.process.terminate().success());
    }
    worker.process.wait_for_line("shutdown timeout reached");
    vote.process.wait_for_line("shutdown timeout reached");
    servers.store.clear(Fault::Frozen).await;

    // Another worker claims the in-flight ballot.
    let _worker_b = start_ready("worker", &servers.storage, &[]).await;
    let counted = async || servers.storage.count_votes().await;
    let one = |votes: &Vec<_>| *votes == [("a".to_owned(), 1)];
    eventually("the in-flight vote", one, counted).await;
}
