//! Probes of load balancers, and scrapes of Prometheus.

mod dependencies;
mod faults;
mod shutdown;

use reqwest::StatusCode;
use serde_json::json;

use crate::harness::{
    app::App,
    eventually,
    storage::{Storage, on_both_storages},
    viewer::{Viewer, get, get_json, wait_for_votes},
    voter::Voter,
};

on_both_storages! {
    every_service_responds_to_its_probes,
    metrics_count_a_vote_in_every_service,
    a_draining_service_is_not_ready_and_still_serves,
    a_stopping_service_closes_its_event_streams,
}

async fn every_service_responds_to_its_probes(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    for url in [&app.vote, &app.result, &app.worker] {
        assert_eq!(
            get_json(&format!("{url}/health")).await,
            (StatusCode::OK, json!({"status": "healthy"}))
        );
        let ready = async || get_json(&format!("{url}/ready")).await;
        let (_, body) = eventually("/ready", |(status, _)| *status == StatusCode::OK, ready).await;
        assert_eq!(body, json!({"status": "ready"}));
        let metrics = get(&format!("{url}/metrics")).await;
        assert_eq!(
            metrics.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let metrics = metrics.text().await.unwrap();
        for line in [
            "dependency_up{dependency=\"",
            "build_info{revision=\"",
            "http_server_request_duration_seconds_count{",
        ] {
            assert!(metrics.contains(line), "{url} has no {line}: {metrics}");
        }
    }
    app.stop().await;
}

async fn metrics_count_a_vote_in_every_service(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let vote_metrics = async || {
        get(&format!("{}/metrics", app.vote))
            .await
            .text()
            .await
            .unwrap()
    };
    let before = vote_metrics().await;
    for choice in ["a", "b", "none"] {
        for outcome in ["accepted", "rejected", "error", "timeout", "rate_limited"] {
            let line =
                format!("vote_submissions_total{{choice=\"{choice}\",outcome=\"{outcome}\"}} 0\n");
            assert!(before.contains(&line), "{line} is missing in {before}");
        }
    }
    Voter::new(&app.vote).must_vote_for("a").await;
    Voter::new(&app.vote).vote_for("c").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    let after = vote_metrics().await;
    for line in [
        "vote_submissions_total{choice=\"a\",outcome=\"accepted\"} 1\n",
        "vote_submissions_total{choice=\"none\",outcome=\"rejected\"} 1\n",
        "vote_enqueue_duration_seconds_count{outcome=\"accepted\"} 1\n",
        "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_response_status_code=\"422\",http_route=\"/\"} 1\n",
    ] {
        assert!(after.contains(line), "{line} is missing in {after}");
    }
    let durable = async || vote_metrics().await;
    eventually(
        "durability",
        |metrics| metrics.contains("queue_durable 1\n"),
        durable,
    )
    .await;

    let worker_metrics = async || {
        get(&format!("{}/metrics", app.worker))
            .await
            .text()
            .await
            .unwrap()
    };
    for line in [
        "worker_ballots_processed_total{outcome=\"applied\"} 1\n",
        "worker_ballots_processed_total{outcome=\"dead_letter\"} 0\n",
        "worker_end_to_end_latency_seconds_count 1\n",
        "worker_stream_pending_entries 0\n",
        "worker_oldest_unacked_age_seconds 0\n",
    ] {
        eventually(line, |metrics| metrics.contains(line), worker_metrics).await;
    }
    let viewer = Viewer::open(&app.result, None).await;
    let result_metrics = async || {
        get(&format!("{}/metrics", app.result))
            .await
            .text()
            .await
            .unwrap()
    };
    eventually(
        "a viewer",
        |metrics| metrics.contains("result_sse_connections 1\n"),
        result_metrics,
    )
    .await;
    drop(viewer);
    eventually(
        "no viewer",
        |metrics| metrics.contains("result_sse_connections 0\n"),
        result_metrics,
    )
    .await;
    app.stop().await;
}

async fn a_draining_service_is_not_ready_and_still_serves(storage: Storage) {
    let app = App::start(&storage, &["--drain-delay", "5s"]).await;
    let ready = async || get_json(&format!("{}/ready", app.vote)).await;
    eventually("/ready", |(status, _)| *status == StatusCode::OK, ready).await;
    app.request_shutdown();
    let (status, body) = ready().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["checks"]["draining"], "the service is shutting down");
    assert_eq!(
        get_json(&format!("{}/health", app.vote)).await.0,
        StatusCode::OK,
        "a draining service is healthy"
    );
    Voter::new(&app.vote).must_vote_for("a").await;
    app.stop().await;
    // The worker may have stopped before the vote was cast, or before its migration: then the next worker stores the vote.
    if storage.count_votes_if_ready().await.is_empty() {
        let next = App::start(&storage, &[]).await;
        wait_for_votes(&next.result, &[1, 0]).await;
        next.stop().await;
    }
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 1)]);
}

async fn a_stopping_service_closes_its_event_streams(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let mut viewer = Viewer::open(&app.result, None).await;
    viewer.wait_for_votes(&[0, 0]).await;
    // If the service waited for viewers to disconnect, it would not stop within the timeout for in-flight requests.
    let stopping = tokio::spawn(app.stop());
    assert_eq!(viewer.next().await, None);
    stopping.await.unwrap();
}
