//! SIGTERM under load: nothing accepted is lost, nothing in hand is broken, and the end is a good one.

use futures_util::StreamExt;
use reqwest::StatusCode;
use rustix::process::Signal;

use super::{assert_nothing_is_lost_or_doubled, start_ready, until_metric};
use crate::harness::{
    crowd::Crowd,
    eventually,
    process::Service,
    proxy::Proxy,
    raw::{Raw, status},
    redis,
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::{get_json, until_votes},
    voter::Voter,
};

/// Whatever ends in a test's time has ended by itself, long before its deadline.
const UNHURRIED: (&str, &str) = ("SHUTDOWN_TIMEOUT", "1h");

async fn until_draining(service: &Service) {
    let ready = async || get_json(&format!("{}/ready", service.url)).await.0;
    let no = |status: &StatusCode| *status == StatusCode::SERVICE_UNAVAILABLE;
    eventually("/ready", no, ready).await;
}

/// A client that is told so sends nothing more on this connection, so nothing of it meets the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_drains_asks_clients_to_come_back_on_new_connections() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    for name in ["vote", "worker", "result"] {
        let service = start_ready(name, &storage, &[("DRAIN_DELAY", "1h")]).await;
        let request = b"HEAD /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let mut client = Raw::open(&service.url).await;
        client.send(request).await;
        let stays = client.head().await;
        service.process.signal(Signal::TERM);
        until_draining(&service).await;
        client.send(request).await;
        let parts = client.until_closed().await;
        assert_eq!((status(&stays), status(&parts)), (200, 200));
        let says_so = |answer: &str| answer.to_lowercase().contains("connection: close");
        assert_eq!((says_so(&stays), says_so(&parts)), (false, true), "{name}");
    }
}

/// A rolling update behind one address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voters_move_on_to_another_replica_unhurt() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let _worker = start_ready("worker", &storage, &[]).await;
    let settings = [("DRAIN_DELAY", "2s"), UNHURRIED];
    let mut replica = start_ready("vote", &storage, &settings).await;
    let (proxy, address) = Proxy::to(&replica.url).await;
    let crowd = Crowd::gather(&address, 50);
    for _ in 0..3 {
        crowd.accepts(200).await;
        let next = start_ready("vote", &storage, &settings).await;
        proxy.lead_to(&next.url);
        assert!(replica.process.terminate().success());
        replica = next;
    }
    crowd.accepts(200).await;
    let counts = crowd.go_home().await;
    assert_eq!((counts.refused(), counts.broken()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

/// A load balancer turns away while the service still serves, so no request meets a closed door.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_under_load_breaks_no_request() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let _worker = start_ready("worker", &storage, &[]).await;
    let mut vote = start_ready("vote", &storage, &[("DRAIN_DELAY", "10s"), UNHURRIED]).await;
    let crowd = Crowd::gather(&vote.url, 50);
    crowd.accepts(200).await;
    vote.process.signal(Signal::TERM);
    until_draining(&vote).await;
    crowd.accepts(100).await;
    let counts = crowd.go_home().await;
    assert!(vote.process.wait().success());
    assert_eq!((counts.refused(), counts.broken()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_answers_what_it_has_in_hand() {
    const VOTERS: u64 = 20;
    let redis = or_skip!(redis::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    // Requests have a time limit of their own; the end waits for longer.
    let patient = [("ENQUEUE_TIMEOUT", "4s"), UNHURRIED];
    let mut vote = start_ready("vote", &storage, &patient).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    redis.server.freeze();
    let waiting: Vec<_> = (0..VOTERS)
        .map(|_| {
            let voter = Voter::new(&vote.url);
            tokio::spawn(async move { voter.vote_for("a").await.status })
        })
        .collect();
    let in_hand = format!("http_server_active_requests{{http_request_method=\"POST\"}} {VOTERS}");
    until_metric(&vote, &in_hand).await;
    vote.process.signal(Signal::TERM);
    vote.process.line_with("draining");
    redis.server.thaw();
    for voter in waiting {
        assert_eq!(voter.await.unwrap(), StatusCode::OK);
    }
    assert!(vote.process.wait().success());
    let counted = async || storage.counted().await;
    let all = |votes: &Vec<_>| *votes == [("a".to_owned(), i64::try_from(VOTERS).unwrap())];
    eventually("all of them", all, counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_come_and_go() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    // What is left in nobody's hands needs not be claimed: with this setting it would not be in time.
    let slow_to_claim = [
        ("WORKER_CLAIM_MIN_IDLE", "1h"),
        ("WORKER_BATCH", "3"),
        UNHURRIED,
    ];
    let mut worker = start_ready("worker", &storage, &slow_to_claim).await;
    let crowd = Crowd::gather(&vote.url, 20);
    for _ in 0..3 {
        crowd.accepts(100).await;
        assert!(worker.process.terminate().success());
        worker = start_ready("worker", &storage, &slow_to_claim).await;
    }
    let counts = crowd.go_home().await;
    assert_eq!((counts.refused(), counts.broken()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_ends_its_streams_politely() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let mut result = start_ready("result", &storage, &[UNHURRIED]).await;
    until_votes(&result.url, &[0, 0]).await;
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
            chunk.expect("the stream ends, and does not break");
        }
    }
}
