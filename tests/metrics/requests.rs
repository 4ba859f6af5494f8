//! Requests, by method, route and status, and connections.

use reqwest::Method;

use super::services;
use crate::{
    faults::start_ready,
    harness::{
        raw::RawClient,
        redis,
        scrape::{Scrape, exactly, wait_for_value},
        skip::or_skip,
        storage::{Backend, Storage},
        voter::{Voter, client},
    },
};

/// The series that counts responses with these labels.
fn request_count(method: &str, route: &str, status: u16) -> String {
    format!(
        "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",http_response_status_code=\"{status}\",http_route=\"{route}\"}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_paths_and_methods_add_no_label_values() {
    let (_storage, services) = or_skip!(services(Backend::Embedded).await);
    for (name, service) in &services {
        let send = async |method: &str, path: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = client().request(method, format!("{}{path}", service.url));
            request.send().await.unwrap();
        };
        send("GET", "/health").await;
        send("GET", "/no/such/path?or=query").await;
        send("PROPFIND", "/health").await;
        send("PROPFIND", "/no/such/path").await;
        let now = Scrape::of(&service.url).await;
        for series in [
            request_count("GET", "/health", 200),
            request_count("GET", "unmatched", 404),
            request_count("_OTHER", "/health", 405),
            request_count("_OTHER", "unmatched", 404),
        ] {
            assert_eq!(now.find(&series), Some(1.0), "{name}: {series}");
        }
        assert!(!now.0.contains("such/path") && !now.0.contains("PROPFIND"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn active_requests_and_open_connections_are_counted_up_and_down() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &[("ENQUEUE_TIMEOUT", "4s")]).await;
    let posts = "http_server_active_requests{http_request_method=\"POST\"}";
    let open = "http_server_open_connections";
    wait_for_value(&vote.url, posts, exactly(0.0)).await;
    redis.server.freeze();
    let voting = {
        let voter = Voter::new(&vote.url);
        tokio::spawn(async move { voter.vote_for("a").await })
    };
    wait_for_value(&vote.url, posts, exactly(1.0)).await;
    redis.server.thaw();
    voting.await.unwrap();
    wait_for_value(&vote.url, posts, exactly(0.0)).await;

    let connections = {
        let mut connections = Vec::new();
        for _ in 0..50 {
            connections.push(RawClient::open(&vote.url).await);
        }
        connections
    };
    wait_for_value(&vote.url, open, |open| open >= 50.0).await;
    drop(connections);
    wait_for_value(&vote.url, open, |open| open < 50.0).await;
}
