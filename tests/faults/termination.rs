//! SIGTERM under load: no accepted vote is lost, no in-flight request fails, and the exit code is 0.

use futures_util::StreamExt;
use reqwest::StatusCode;
use rustix::process::Signal;

use super::{assert_no_vote_lost_or_duplicated, start_ready, wait_for_metric};
use crate::harness::{
    client_pool::ClientPool,
    eventually,
    process::Service,
    proxy::Proxy,
    raw::{RawClient, status},
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::{get_json, wait_for_votes},
    voter::Voter,
};

/// A long shutdown timeout: a service that ends during the test has ended by itself.
const LONG_SHUTDOWN_TIMEOUT: (&str, &str) = ("SHUTDOWN_TIMEOUT", "1h");

async fn wait_until_draining(service: &Service) {
    let ready = async || get_json(&format!("{}/ready", service.url)).await.0;
    let is_unready = |status: &StatusCode| *status == StatusCode::SERVICE_UNAVAILABLE;
    eventually("/ready", is_unready, ready).await;
}

/// A client that receives `Connection: close` sends no more requests on this connection, so none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_services_close_their_connections() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    for name in ["vote", "worker", "result"] {
        let service = start_ready(name, &storage, &[("DRAIN_DELAY", "1h")]).await;
        let request = b"HEAD /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut client = RawClient::open(&service.url).await;
        client.send(request).await;
        let before = client.read_head().await;
        service.process.signal(Signal::TERM);
        wait_until_draining(&service).await;
        client.send(request).await;
        let after = client.read_until_closed().await;
        assert_eq!((status(&before), status(&after)), (200, 200));
        let closes = |response: &str| response.to_lowercase().contains("connection: close");
        assert_eq!((closes(&before), closes(&after)), (false, true), "{name}");
    }
}

/// A rolling update behind one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_fails_no_request() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let _worker = start_ready("worker", &storage, &[]).await;
    let settings = [("DRAIN_DELAY", "2s"), LONG_SHUTDOWN_TIMEOUT];
    let mut replica = start_ready("vote", &storage, &settings).await;
    let (proxy, address) = Proxy::to(&replica.url).await;
    let clients = ClientPool::start(&address, 50);
    for _ in 0..3 {
        clients.wait_for_accepted(200).await;
        let next = start_ready("vote", &storage, &settings).await;
        proxy.set_upstream(&next.url);
        assert!(replica.process.terminate().success());
        replica = next;
    }
    clients.wait_for_accepted(200).await;
    let counts = clients.stop().await;
    assert_eq!((counts.rejected(), counts.failed()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

/// A load balancer stops sending requests while the service still accepts them, so no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_fails_no_request_while_draining() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let _worker = start_ready("worker", &storage, &[]).await;
    let mut vote = start_ready(
        "vote",
        &storage,
        &[("DRAIN_DELAY", "10s"), LONG_SHUTDOWN_TIMEOUT],
    )
    .await;
    let clients = ClientPool::start(&vote.url, 50);
    clients.wait_for_accepted(200).await;
    vote.process.signal(Signal::TERM);
    wait_until_draining(&vote).await;
    clients.wait_for_accepted(100).await;
    let counts = clients.stop().await;
    assert!(vote.process.wait().success());
    assert_eq!((counts.rejected(), counts.failed()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_completes_in_flight_requests() {
    const VOTERS: u64 = 20;
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    // Requests have a timeout of their own, shorter than the shutdown timeout.
    let settings = [("ENQUEUE_TIMEOUT", "4s"), LONG_SHUTDOWN_TIMEOUT];
    let mut vote = start_ready("vote", &storage, &settings).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    redis.server.freeze();
    let waiting: Vec<_> = (0..VOTERS)
        .map(|_| {
            let voter = Voter::new(&vote.url);
            tokio::spawn(async move { voter.vote_for("a").await.status })
        })
        .collect();
    let in_flight = format!("http_server_active_requests{{http_request_method=\"POST\"}} {VOTERS}");
    wait_for_metric(&vote, &in_flight).await;
    vote.process.signal(Signal::TERM);
    vote.process.wait_for_line("draining");
    redis.server.thaw();
    for voter in waiting {
        assert_eq!(voter.await.unwrap(), StatusCode::OK);
    }
    assert!(vote.process.wait().success());
    let counted = async || storage.count_votes().await;
    let all = |votes: &Vec<_>| *votes == [("a".to_owned(), i64::try_from(VOTERS).unwrap())];
    eventually("all votes", all, counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_restarts_lose_no_vote() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    // A stopped worker leaves no pending entries: with this setting they would not be claimed in time.
    let slow_to_claim = [
        ("WORKER_CLAIM_MIN_IDLE", "1h"),
        ("WORKER_BATCH", "3"),
        LONG_SHUTDOWN_TIMEOUT,
    ];
    let mut worker = start_ready("worker", &storage, &slow_to_claim).await;
    let clients = ClientPool::start(&vote.url, 20);
    for _ in 0..3 {
        clients.wait_for_accepted(100).await;
        assert!(worker.process.terminate().success());
        worker = start_ready("worker", &storage, &slow_to_claim).await;
    }
    let counts = clients.stop().await;
    assert_eq!((counts.rejected(), counts.failed()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_ends_its_streams_cleanly() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let mut result = start_ready("result", &storage, &[LONG_SHUTDOWN_TIMEOUT]).await;
    wait_for_votes(&result.url, &[0, 0]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut viewers = Vec::new();
    for _ in 0..100 {
        let events = client.get(format!("{}/events", result.url));
        let mut events = events.send().await.unwrap().bytes_stream();
        events.next().await.unwrap().unwrap();
        viewers.push(events);
    }
    assert!(result.process.terminate().success());
    for mut events in viewers {
        while let Some(chunk) = events.next().await {
            chunk.expect("the stream ends without an error");
        }
    }
}
