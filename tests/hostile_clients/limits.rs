//! Limits of connections and viewers, in total and per address.

use reqwest::{StatusCode, header::CONTENT_TYPE};

use super::{FORM, app, open_idle};
use crate::{
    faults::wait_until_ready,
    harness::{
        eventually,
        raw::{RawClient, status},
        scrape,
        viewer::{Viewer, get, get_json},
        voter::{Voter, client},
    },
};

const PER_ADDRESS: &str = "http_server_connections_rejected_per_address_total";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_get_503_until_others_close() {
    let (app, _storage) = app(&[
        "--max-connections",
        "8",
        "--max-connections-per-address",
        "100",
    ])
    .await;
    let hostile = open_idle(&app.vote, 8).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let full = async || RawClient::exchange(&app.vote, request).await;
    let response = eventually("a full service", |response| status(response) == 503, full).await;
    for line in [
        "connection: close\r\n",
        "retry-after: 5\r\n",
        "/problems/too-many-connections",
    ] {
        assert!(response.contains(line), "{line} is missing in {response}");
    }
    let rejected = Voter::new(&app.vote).vote_for("a").await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.retry_after.as_deref(), Some("5"));
    for path in ["/health", "/ready"] {
        let probe = async || get(&format!("{}{path}", app.vote)).await.status();
        let what = format!("{path}: a full service is healthy and ready");
        eventually(&what, |status| *status == StatusCode::OK, probe).await;
    }
    assert!(scrape::value(&app.vote, "http_server_connections_rejected_total").await >= 2.0);
    // Another service has its own connection limit.
    assert_eq!(
        get_json(&format!("{}/health", app.result)).await.0,
        StatusCode::OK
    );
    drop(hostile);
    let accepted = async || Voter::new(&app.vote).vote_for("a").await.status;
    eventually(
        "a free connection",
        |status| *status == StatusCode::OK,
        accepted,
    )
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_beyond_the_limit_get_503_until_others_leave() {
    let (app, _storage) = app(&["--max-viewers", "2", "--max-viewers-per-address", "2"]).await;
    let first = Viewer::open(&app.result, None).await;
    let mut second = Viewer::open(&app.result, None).await;
    let url = format!("{}/events", app.result);
    let rejected = get(&url).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers()["retry-after"], "5");
    assert_eq!(
        rejected.headers()["content-type"],
        "application/problem+json"
    );
    assert!(
        rejected
            .text()
            .await
            .unwrap()
            .contains("/problems/too-many-viewers")
    );
    assert!(
        (scrape::value(&app.result, "result_sse_connections_rejected_total").await - 1.0).abs()
            < 0.1
    );
    Voter::new(&app.vote).must_vote_for("a").await;
    second.wait_for_votes(&[1, 0]).await;
    drop(first);
    let again = async || get(&url).await.status();
    eventually(
        "a free connection",
        |status| *status == StatusCode::OK,
        again,
    )
    .await;
    app.stop().await;
}

/// A client with another IP address of this machine.
#[cfg(target_os = "linux")]
fn client_with_other_address() -> reqwest::Client {
    let address = std::net::IpAddr::from([127, 0, 0, 2]);
    let client = reqwest::Client::builder().no_proxy().local_address(address);
    client.build().expect("a client can be built")
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_use_all_connections() {
    let (app, _storage) = app(&["--max-connections", "40"]).await;
    let hostile = open_idle(&app.vote, 200).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let response = RawClient::exchange(&app.vote, request).await;
    assert_eq!(status(&response), 503, "{response}");
    assert!(
        response.contains("20 open connections, which is the limit")
            && response.contains("retry-after: 5\r\n"),
        "{response}"
    );
    let vote = client_with_other_address()
        .post(&app.vote)
        .header(CONTENT_TYPE, FORM);
    let accepted = vote.body("vote=a").send().await.unwrap();
    assert_eq!(
        accepted.status(),
        StatusCode::OK,
        "while the idle connections are open"
    );
    let metrics = client_with_other_address()
        .get(format!("{}/metrics", app.vote))
        .send()
        .await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let counted = metrics.lines().find_map(|line| {
        let name = format!("{PER_ADDRESS}{{what=\"connection\"}} ");
        line.strip_prefix(&name)?.parse::<u64>().ok()
    });
    assert!(counted.is_some_and(|counted| counted > 100), "{counted:?}");
    drop(hostile);
    app.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_use_all_event_streams() {
    let (app, _storage) = app(&["--max-viewers", "6"]).await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(Viewer::open(&app.result, None).await);
    }
    let url = format!("{}/events", app.result);
    let rejected = get(&url).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    let rejected = rejected.text().await.unwrap();
    assert!(
        rejected.contains("3 viewers of the live result") && rejected.contains("/api/tally"),
        "{rejected}"
    );
    let other = client_with_other_address().get(&url).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    let series = format!("{PER_ADDRESS}{{what=\"stream\"}}");
    assert!((scrape::value(&app.result, &series).await - 1.0).abs() < 0.1);
    app.stop().await;
}

/// All of these clients use the connections of the proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_per_address_applies_to_clients_behind_a_proxy() {
    let flags = [
        "--trusted-proxies",
        "127.0.0.0/8",
        "--max-connections-per-address",
        "3",
    ];
    let (app, _storage) = app(&flags).await;
    wait_until_ready(&app.result).await;
    let ask = async |client_address: &str, url: String| {
        let request = client().get(url).header("x-forwarded-for", client_address);
        request.send().await.unwrap()
    };
    let events = || format!("{}/events", app.result);
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        unfinished.push(ask("198.51.100.1", events()).await);
    }
    let rejected = ask("198.51.100.1", app.result.clone()).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        rejected
            .text()
            .await
            .unwrap()
            .contains("3 open connections, which is the limit")
    );
    let probe = ask("198.51.100.1", format!("{}/ready", app.result)).await;
    assert_eq!(
        probe.status(),
        StatusCode::OK,
        "probes do not count against the limit"
    );
    assert_eq!(ask("198.51.100.2", events()).await.status(), StatusCode::OK);
    drop(unfinished);
    let again = async || ask("198.51.100.1", app.result.clone()).await.status();
    eventually(
        "a free connection",
        |status| *status == StatusCode::OK,
        again,
    )
    .await;
    app.stop().await;
}
