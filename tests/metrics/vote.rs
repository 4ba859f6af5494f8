//! Outcomes of votes, and the state of the queue.

use std::time::Instant;

use futures_util::future::join_all;
use reqwest::StatusCode;

use super::SHORT_TIMEOUTS;
use crate::{
    faults::start_ready,
    harness::{
        eventually,
        process::Service,
        raw::RawClient,
        redis,
        scrape::{Scrape, value, wait_for_value},
        skip::or_skip,
        storage::{Backend, Storage},
        voter::Voter,
    },
};

/// The series that counts votes with this choice and outcome.
fn submissions(choice: &str, outcome: &str) -> String {
    format!("vote_submissions_total{{choice=\"{choice}\",outcome=\"{outcome}\"}}")
}

/// The series that counts enqueues with this outcome.
fn enqueued(outcome: &str) -> String {
    format!("vote_enqueue_duration_seconds_count{{outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_of_a_vote_is_counted() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let cast = async |choice| drop(Voter::new(&vote.url).vote_for(choice).await);

    cast("a").await;
    cast("b").await;
    cast("cats").await;
    redis.server.freeze();
    cast("a").await;
    redis.server.kill();
    cast("a").await;

    let now = Scrape::of(&vote.url).await;
    for (choice, outcome) in [
        ("a", "accepted"),
        ("b", "accepted"),
        ("none", "rejected"),
        ("a", "timeout"),
        ("a", "error"),
    ] {
        assert!(
            now.value(&submissions(choice, outcome)) >= 1.0,
            "{choice} {outcome} in {}",
            now.0
        );
    }
    let all: f64 = now
        .series()
        .filter(|(series, _)| series.starts_with("vote_submissions_total"))
        .map(|(_, count)| count)
        .sum();
    let counts = ["accepted", "timeout", "error"].map(|outcome| now.value(&enqueued(outcome)));
    assert_eq!((all, counts.iter().sum()), (5.0, 4.0), "{}", now.0);
    let waited = now.value("vote_enqueue_duration_seconds_sum{outcome=\"timeout\"}");
    assert!(waited >= 0.3, "{waited}");
}

/// Such a vote reaches no handler, but the metrics of availability must include it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_rejected_by_a_connection_limit_is_counted_measured_and_logged() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    for (limits, outcome, logged) in [
        (
            [
                ("MAX_CONNECTIONS", "4"),
                ("MAX_CONNECTIONS_PER_ADDRESS", "100"),
                ("KEEP_ALIVE_TIMEOUT", "1h"),
            ],
            "connection_limit",
            "MAX_CONNECTIONS reached",
        ),
        (
            [
                ("MAX_CONNECTIONS", "100"),
                ("MAX_CONNECTIONS_PER_ADDRESS", "4"),
                ("KEEP_ALIVE_TIMEOUT", "1h"),
            ],
            "address_limit",
            "rejected: limit per address reached",
        ),
    ] {
        let vote = start_ready("vote", &storage, &limits).await;
        let mut voter = Voter::new(&vote.url);
        // Each connection sends a request and gets a response: a connection without a request is closed after a timeout.
        let mut open = Vec::new();
        for _ in 0..4 {
            let mut connection = RawClient::open(&vote.url).await;
            assert!(connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await);
            connection.read_head().await;
            open.push(connection);
        }
        // A connection of an earlier probe may still count towards the limit and close before the vote, so this retries.
        let rejected = async || voter.vote_for("a").await.status;
        let unavailable = |status: &StatusCode| *status == StatusCode::SERVICE_UNAVAILABLE;
        eventually("a rejected vote", unavailable, rejected).await;
        let count = submissions("none", outcome);
        let before = Scrape::of(&vote.url).await;
        assert!(before.value(&count) >= 1.0, "{}", before.0);
        voter = Voter::new(&vote.url);
        assert!(unavailable(&voter.vote_for("b").await.status));
        assert_eq!(
            voter.api_vote(r#"{"choice":"a"}"#).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        let now = Scrape::of(&vote.url).await;
        assert!((now.value(&count) - before.value(&count) - 2.0).abs() < 0.1);
        for route in ["/", "/api/votes"] {
            let responses = format!(
                "http_server_request_duration_seconds_count{{http_request_method=\"POST\",http_response_status_code=\"503\",http_route=\"{route}\"}}"
            );
            assert!(
                (now.value(&responses) - before.value(&responses) - 1.0).abs() < 0.1,
                "{route}: {}",
                now.0
            );
        }
        vote.process.wait_for_line(logged);
        drop(open);
    }
}

/// One WARN for each of some hundred votes per second would hide other log lines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_votes_are_logged_once_a_second_with_a_count() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    // No server listens at this address.
    storage.queue_url = "redis://127.0.0.1:1".into();
    let vote = Service::start("vote", &storage, &[("ENQUEUE_TIMEOUT", "100ms")]);
    let began = Instant::now();
    let votes = (0..50).map(|_| async { Voter::new(&vote.url).vote_for("a").await.status });
    for status in join_all(votes).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    vote.process.wait_for_line("could not be queued");
    let lines = vote.process.lines_with("could not be queued");
    let seconds = began.elapsed().as_secs() + 2;
    assert!(lines.len() as u64 <= seconds, "{lines:?}");
    assert!(
        lines.iter().all(|line| line.contains(" count=")),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limited_vote_is_counted() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let few = [("NEW_VOTERS_PER_MINUTE", "1"), ("NEW_VOTERS_BURST", "1")];
    let vote = Service::start("vote", &storage, &few);
    for _ in 0..2 {
        Voter::new(&vote.url).vote_for("a").await;
    }
    let now = Scrape::of(&vote.url).await;
    assert_eq!(now.find(&submissions("a", "rate_limited")), Some(1.0));
}

/// Managed services often do not permit reading the settings of the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durability_that_cannot_be_checked_can_be_declared_by_a_setting() {
    let redis = or_skip!(redis::dedicated());
    redis.set_user(
        "vote",
        "on >secret ~* -@all +ping +xadd +role +client|setinfo",
    );
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url = redis.url_for("vote", "secret");
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    vote.process
        .wait_for_line("its settings cannot be read, and QUEUE_DURABILITY is not managed");
    wait_for_value(&vote.url, "queue_durable", |durable| durable < 1.0).await;

    let managed = [("QUEUE_DURABILITY", "managed")];
    let vote = start_ready("vote", &storage, &managed).await;
    wait_for_value(&vote.url, "queue_durable", |durable| durable > 0.0).await;
    vote.process
        .wait_for_line("QUEUE_DURABILITY declares the queue managed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_queue_is_down_and_a_degraded_queue_is_not_durable() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let up = "dependency_up{dependency=\"queue\"}";
    let probed = "dependency_probe_timestamp_seconds{dependency=\"queue\"}";
    wait_for_value(&vote.url, "queue_durable", |durable| durable > 0.0).await;
    wait_for_value(&vote.url, up, |up| up > 0.0).await;
    let before = value(&vote.url, probed).await;
    assert!(before > 1_700_000_000.0, "{before} is not a current time");

    redis.set("appendfsync", "everysec");
    redis.server.freeze();
    wait_for_value(&vote.url, up, |up| up < 1.0).await;
    wait_for_value(&vote.url, probed, |timestamp| timestamp > before).await;
    redis.server.thaw();
    wait_for_value(&vote.url, up, |up| up > 0.0).await;
    wait_for_value(&vote.url, "queue_durable", |durable| durable < 1.0).await;
}
