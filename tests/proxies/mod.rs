//! Votes through real proxies: each is counted once, without settings, for any headers that the proxy sets.

mod paths;
pub mod servers;
mod visitor;

use reqwest::StatusCode;

use crate::faults::wait_until_ready;
use crate::harness::{
    app::App,
    eventually,
    process::Service,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::wait_for_votes,
    voter::client,
};

use servers::{ALL, Configuration, HOST, Proxy, Software, snippet};
use visitor::Visitor;

/// The first line of an event with the tally.
const EVENT: &str = "event: tally";

async fn embedded() -> Storage {
    Storage::new(Backend::Embedded)
        .await
        .expect("embedded storage is always available")
}

/// Waits until the proxy forwards requests: it may have to detect the service first.
async fn until_ready_proxy(proxy: &Proxy) {
    let status = async || Visitor::new(proxy.port).load().await.status;
    eventually(
        "a proxy that forwards requests",
        |status| *status == StatusCode::OK,
        status,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vote_is_counted_once_through_every_proxy() {
    let storage = embedded().await;
    let app = App::start(&storage, &[]).await;
    let mut voters = 0;
    for (software, configuration) in ALL {
        let what = format!("{software}, {configuration:?}");
        let proxy = or_skip!(Proxy::start(
            software,
            configuration,
            &app.vote,
            &app.result
        ));
        until_ready_proxy(&proxy).await;

        let mut voter = Visitor::new(proxy.port);
        voter.load().await;
        for (choice, label) in [("a", "Cats"), ("b", "Dogs")] {
            let seen = voter.vote_without_script(choice).await;
            let notice = format!("Your vote for {label} is in.");
            assert_eq!(seen.status, StatusCode::OK, "{what}: {}", seen.html);
            assert!(seen.html.contains(&notice), "{what}: {}", seen.html);
            // After Back and Reload too.
            assert!(voter.load().await.html.contains(&notice), "{what}");
        }
        let mut voter = Visitor::new(proxy.port);
        voter.load().await;
        for (choice, label) in [("a", "Cats"), ("b", "Dogs")] {
            let seen = voter.vote_by_script(choice).await;
            let notice = format!("Your vote for {label} is in.");
            assert!(seen.html.contains(&notice), "{what}: {}", seen.html);
        }
        for response in [
            voter.vote_cross_site().await,
            voter.vote_cross_site_with_cookie().await,
        ] {
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{what}");
            assert!(!response.headers().contains_key("set-cookie"), "{what}");
        }
        voters += 2;
        wait_for_votes(&app.result, &[0, voters]).await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_is_live_through_the_proxies_of_the_guide() {
    let storage = embedded().await;
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    for (software, configuration) in ALL {
        if configuration != Configuration::Guide {
            continue;
        }
        let proxy = or_skip!(Proxy::start(
            software,
            configuration,
            &app.vote,
            &app.result
        ));
        let events = async || {
            let request = client()
                .get(format!("http://127.0.0.1:{}/events", proxy.port))
                .header("host", "result.example.org");
            let mut response = request.send().await.expect("a response");
            let mut received = String::new();
            while let Ok(Some(more)) = response.chunk().await {
                received.push_str(&String::from_utf8_lossy(&more));
                if received.contains(EVENT) {
                    break;
                }
            }
            received
        };
        let what = format!("an event through {software}");
        eventually(&what, |received| received.contains(EVENT), events).await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_for_unknown_hosts_are_rejected() {
    let storage = embedded().await;
    let our_origin = format!("https://{HOST}");
    let app = App::start(&storage, &["--public-origins", &our_origin]).await;
    let status = async |path: &str, host: &str| {
        let request = client()
            .get(format!("{}{path}", app.vote))
            .header("host", host);
        request.send().await.unwrap().status()
    };
    wait_until_ready(&app.vote).await;
    assert_eq!(status("/", HOST).await, StatusCode::OK);
    for path in ["/", "/api/poll"] {
        assert_eq!(
            status(path, "evil.example").await,
            StatusCode::MISDIRECTED_REQUEST,
            "{path}"
        );
    }
    // Load balancers send probes with an IP address as Host.
    assert_eq!(status("/", "10.0.3.7:8080").await, StatusCode::OK);
    assert_eq!(status("/ready", "evil.example").await, StatusCode::OK);

    // The same list also decides which Origins may vote, independent of the Host that the proxy sends.
    let proxy = or_skip!(Proxy::start(
        Software::Nginx,
        Configuration::Bare,
        &app.vote,
        &app.result
    ));
    until_ready_proxy(&proxy).await;
    let vote = async |origin: &str| {
        let request = client()
            .post(format!("http://127.0.0.1:{}/", proxy.port))
            .header("origin", origin)
            .form(&[("vote", "a")]);
        request.send().await.unwrap().status()
    };
    assert_eq!(vote(&our_origin).await, StatusCode::OK);
    assert_eq!(vote("https://evil.example").await, StatusCode::FORBIDDEN);
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_logs_the_compared_hosts_and_the_setting() {
    let storage = embedded().await;
    let service = Service::start("vote", &storage, &[("PUBLIC_ORIGINS", "http://a.example")]);
    let post = async |headers: &[(&str, &str)]| {
        let request = client().post(&service.url).form(&[("vote", "a")]);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.send().await.unwrap().status()
    };
    let foreign = [
        ("origin", "http://poll.example.org"),
        ("x-forwarded-host", "inner.example"),
    ];
    assert_eq!(post(&foreign).await, StatusCode::FORBIDDEN);
    let line = service
        .process
        .wait_for_line("requests from another site were rejected");
    let host = service.url.trim_start_matches("http://");
    for expected in [
        "WARN",
        "PUBLIC_ORIGINS",
        "poll.example.org",
        "inner.example",
        host,
    ] {
        assert!(line.contains(expected), "{expected} is missing in {line}");
    }
    let rebound = [("host", "evil.example")];
    assert_eq!(post(&rebound).await, StatusCode::MISDIRECTED_REQUEST);
    let line = service
        .process
        .wait_for_line("requests for an unknown host rejected");
    for expected in ["WARN", "PUBLIC_ORIGINS", "evil.example"] {
        assert!(line.contains(expected), "{expected} is missing in {line}");
    }
}

/// Without a cluster, this checks only that the example is an Ingress for both services.
#[test]
fn the_guide_has_an_ingress() {
    let ingress = snippet("yaml");
    for line in [
        "apiVersion: networking.k8s.io/v1\n",
        "kind: Ingress\n",
        "host: poll.example.org\n",
        "service: { name: vote, port: { number: 8080 } }",
        "service: { name: result, port: { number: 8081 } }",
    ] {
        assert!(ingress.contains(line), "{line} is missing in {ingress}");
    }
}
