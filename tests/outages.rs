//! Outages of servers: the services degrade and recover by themselves.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    app::App,
    eventually, postgres,
    process::Service,
    redis,
    skip::or_skip,
    storage::{Backend, Storage, on_both_storages},
    viewer::{Viewer, get_json, tally, wait_for_votes},
    voter::Voter,
};

on_both_storages! {
    the_delay_of_a_stopped_worker_is_shown_in_few_steps,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_fails_votes_fast_and_nothing_else() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let app = App::start(&storage, &["--enqueue-timeout", "2s"]).await;
    let voter = Voter::new(&app.vote);
    eventually(
        "the first vote",
        |status| *status == StatusCode::OK,
        async || voter.vote_for("a").await.status,
    )
    .await;
    wait_for_votes(&app.result, &[1, 0]).await;

    redis.server.freeze();
    let page = voter.vote_for("b").await;
    assert_eq!(
        (page.status, page.retry_after.as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("1"))
    );
    assert_eq!(
        page.selected_options(),
        ["a"],
        "the page does not show the unconfirmed vote"
    );
    let not_ready = |response: &(StatusCode, Value)| response.0 == StatusCode::SERVICE_UNAVAILABLE;
    let (_, ready) = eventually("/ready", not_ready, async || {
        get_json(&format!("{}/ready", app.vote)).await
    })
    .await;
    assert_eq!(ready["status"], "not ready");
    assert!(
        ready["checks"]["queue"]
            .as_str()
            .is_some_and(|reason| reason != "ok"),
        "{ready}"
    );
    assert_eq!(
        get_json(&format!("{}/health", app.vote)).await,
        (StatusCode::OK, json!({"status": "healthy"}))
    );
    assert_eq!(
        get_json(&format!("{}/ready", app.result)).await.0,
        StatusCode::OK,
        "the result service does not need the queue"
    );

    redis.server.thaw();
    eventually(
        "a vote after the thaw",
        |status| *status == StatusCode::OK,
        async || voter.vote_for("b").await.status,
    )
    .await;
    wait_for_votes(&app.result, &[0, 1]).await;
    eventually(
        "/ready",
        |(status, _)| *status == StatusCode::OK,
        async || get_json(&format!("{}/ready", app.vote)).await,
    )
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voting_continues_while_postgres_is_down_and_the_result_is_marked_stale() {
    let server = or_skip!(postgres::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let server: &'static _ = Box::leak(Box::new(server));
    let database = server.database().await;
    storage.database_url = database.url();
    let app = App::start(&storage, &["--store-timeout", "2s"]).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    let mut viewer = Viewer::open(&app.result, None).await;
    viewer.wait_for_votes(&[1, 0]).await;

    server.server.kill();
    for _ in 0..20 {
        Voter::new(&app.vote).must_vote_for("b").await;
    }
    let stale = eventually(
        "a stale result",
        |tally: &Value| tally["stale"] == true,
        async || tally(&app.result).await,
    )
    .await;
    assert_eq!(stale["total"], 1, "the last tally is still shown");
    assert_eq!(
        get_json(&format!("{}/ready", app.result)).await.0,
        StatusCode::OK
    );
    assert_eq!(
        get_json(&format!("{}/ready", app.vote)).await.0,
        StatusCode::OK
    );

    server.server.start();
    server.wait_until_ready().await;
    viewer.wait_for_votes(&[1, 20]).await;
    let fresh = eventually(
        "a fresh result",
        |tally: &Value| tally["stale"] == false,
        async || tally(&app.result).await,
    )
    .await;
    assert_eq!(fresh["total"], 21);
    app.stop().await;
    drop(database);
    server.server.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_postgres_does_not_block_the_worker_forever() {
    let server = or_skip!(postgres::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let server: &'static _ = Box::leak(Box::new(server));
    let database = server.database().await;
    storage.database_url = database.url();
    let app = App::start(&storage, &["--store-timeout", "500ms"]).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    server.server.freeze();
    Voter::new(&app.vote).must_vote_for("b").await;
    // The worker was about to store the ballot, or to look up the last stored id before it reads one.
    let is_aborted = |ready: &Value| {
        ready["checks"]["processor"]
            .as_str()
            .is_some_and(|reason| reason != "ok")
    };
    let ready = async || get_json(&format!("{}/ready", app.worker)).await.1;
    eventually("an aborted batch", is_aborted, ready).await;
    server.server.thaw();
    wait_for_votes(&app.result, &[1, 1]).await;
    app.stop().await;
    drop(database);
    server.server.kill();
}

/// No votes are cast, so only the missing reports of the worker show that it is stopped. Their age is measured by the clock of
/// the store, so the delay takes real time.
async fn the_delay_of_a_stopped_worker_is_shown_in_few_steps(storage: Storage) {
    let vote = Service::start("vote", &storage, &[]);
    let result = Service::start("result", &storage, &[]);
    let mut worker = Service::start("worker", &storage, &[]);
    let behind = |tally: &Value| tally["counting"]["behind_seconds"].as_u64();
    let is_up_to_date =
        |tally: &Value| behind(tally) == Some(0) && tally["counting"]["reported_at"].is_string();
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;
    eventually("a report", is_up_to_date, async || tally(&result.url).await).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    viewer.wait_for_votes(&[1, 0]).await;

    assert!(worker.process.terminate().success());
    let mut steps = Vec::new();
    while steps.last().is_none_or(|step| *step < 10) {
        let event = viewer.next().await.expect("the stream continues");
        if event.kind == "tally" {
            let tally = serde_json::from_str(&event.data).unwrap();
            steps.extend(behind(&tally));
        }
    }
    assert!(
        steps.is_sorted_by(|step, next| step < next) && steps[0] > 0,
        "each step is sent once: {steps:?}"
    );

    let _worker_b = Service::start("worker", &storage, &[]);
    eventually("a report", is_up_to_date, async || tally(&result.url).await).await;
    loop {
        let event = viewer.wait_for_votes(&[1, 0]).await;
        if is_up_to_date(&serde_json::from_str(&event.data).unwrap()) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_may_start_before_their_servers() {
    let redis = or_skip!(redis::dedicated());
    let server: &'static _ = Box::leak(Box::new(or_skip!(postgres::dedicated())));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let database = server.database().await;
    (storage.queue_url, storage.database_url) = (redis.url.clone(), database.url());
    redis.server.kill();
    server.server.kill();
    let app = App::start(
        &storage,
        &["--enqueue-timeout", "2s", "--store-timeout", "2s"],
    )
    .await;
    for url in [&app.vote, &app.result, &app.worker] {
        assert_eq!(get_json(&format!("{url}/health")).await.0, StatusCode::OK);
        assert_eq!(
            get_json(&format!("{url}/ready")).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
    }
    let (status, problem) = get_json(&format!("{}/api/tally", app.result)).await;
    assert_eq!(
        (status, &problem["type"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &json!("/problems/result-unavailable")
        )
    );
    redis.server.start();
    server.server.start();
    for url in [&app.vote, &app.result, &app.worker] {
        eventually(
            "/ready",
            |(status, _)| *status == StatusCode::OK,
            async || get_json(&format!("{url}/ready")).await,
        )
        .await;
    }
    let voter = Voter::new(&app.vote);
    eventually(
        "a vote",
        |status| *status == StatusCode::OK,
        async || voter.vote_for("a").await.status,
    )
    .await;
    wait_for_votes(&app.result, &[1, 0]).await;
    tokio::time::timeout(Duration::from_secs(20), app.stop())
        .await
        .expect("the application stops in time");
    drop(database);
    server.server.kill();
}
