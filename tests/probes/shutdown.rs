//! What happens on SIGTERM, and in which order.

use std::time::Instant;

use reqwest::StatusCode;
use rustix::process::Signal;

use super::faults::{Fault, Servers};
use crate::{
    faults::start_ready,
    harness::{
        eventually,
        process::Service,
        raw::Raw,
        scrape::until,
        skip::or_skip,
        storage::{Kind, Storage},
        viewer::{Viewer, get, get_json, votes},
        voter::Voter,
    },
};

async fn ready(service: &Service) -> StatusCode {
    get_json(&format!("{}/ready", service.url)).await.0
}

/// The log says it first, before anything else happens.
async fn begin_to_end(service: &Service) {
    service.process.signal(Signal::TERM);
    service.process.line_with("draining");
    assert_eq!(ready(service).await, StatusCode::SERVICE_UNAVAILABLE);
    let (health, _) = get_json(&format!("{}/health", service.url)).await;
    assert_eq!(health, StatusCode::OK, "there is nothing to restart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sigterm_services_become_unready_then_drain_then_exit() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let drains = [("DRAIN_DELAY", "8s")];
    let mut vote = start_ready("vote", &storage, &drains).await;
    let mut result = start_ready("result", &storage, &drains).await;
    let mut worker = start_ready("worker", &storage, &drains).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    viewer.until_votes(&[0, 0]).await;

    let began = Instant::now();
    for service in [&vote, &result, &worker] {
        begin_to_end(service).await;
    }
    // All of it still works, up to the page that a viewer has open.
    Voter::new(&vote.url).must_vote_for("a").await;
    viewer.until_votes(&[1, 0]).await;
    let page = get(&result.url).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(ready(&vote).await, StatusCode::SERVICE_UNAVAILABLE);
    while let Some(event) = viewer.next().await {
        // On a slow machine the tally may be sent again, because Postgres was late and is not any more.
        if event.kind != "heartbeat" {
            assert_eq!(votes(&serde_json::from_str(&event.data).unwrap()), [1, 0]);
        }
    }
    assert!(began.elapsed().as_secs() >= 7, "the stream ended too early");
    for service in [&mut vote, &mut result, &mut worker] {
        assert!(service.process.wait().success());
    }
}

/// However long something in hand would take: a client that never finishes, a server that never answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_flight_work_is_aborted_at_the_shutdown_timeout() {
    let servers = or_skip!(Servers::start().await);
    let endless = [
        ("SHUTDOWN_TIMEOUT", "1s"),
        ("STORE_TIMEOUT", "1h"),
        ("ENQUEUE_TIMEOUT", "1h"),
    ];
    let mut vote = start_ready("vote", &servers.storage, &endless).await;
    let mut worker = start_ready("worker", &servers.storage, &endless).await;
    let mut result = start_ready("result", &servers.storage, &endless).await;
    servers.store.spoil(Fault::Frozen).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    let held = "worker_stream_pending_entries";
    until(&worker.url, held, |held| held > 0.0).await;
    let mut half = Raw::open(&vote.url).await;
    half.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 6\r\n\r\nvo")
        .await;
    let posts = "http_server_active_requests{http_request_method=\"POST\"}";
    until(&vote.url, posts, |posts| posts > 0.0).await;
    for service in [&mut vote, &mut worker, &mut result] {
        assert!(service.process.terminate().success());
    }
    worker.process.line_with("ending with work in hand");
    vote.process.line_with("ending with work in hand");
    servers.store.mend(Fault::Frozen).await;

    // Another one finds what was in hand.
    let _heir = start_ready("worker", &servers.storage, &[]).await;
    let counted = async || servers.storage.counted().await;
    let one = |votes: &Vec<_>| *votes == [("a".to_owned(), 1)];
    eventually("the vote in hand", one, counted).await;
}
