//! The voting page.

use poll::Clock;

use super::{BEFORE, CLOSES_AT, OPENS_AT, assert_pages};
use crate::harness::{
    app::App,
    storage::{Backend, Storage},
    voter::client,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_voting_page_from_before_the_opening_until_after_the_closing() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let (clock, clock_control) = Clock::manual(BEFORE.parse().unwrap());
    let period = ["--poll-opens-at", OPENS_AT, "--poll-closes-at", CLOSES_AT];
    let app = App::start_with_clock(clock, &storage, &period).await;
    let client = client();
    let get = || client.get(&app.vote);
    let vote_for = |choice: &'static str| client.post(&app.vote).form(&[("vote", choice)]);

    assert_pages("vote-not-open-yet", get).await;
    assert_pages("vote-too-early", || vote_for("a")).await;
    clock_control.set(OPENS_AT.parse().unwrap());
    assert_pages("vote-open", get).await;
    assert_pages("vote-accepted", || vote_for("a")).await;
    assert_pages("vote-unknown-choice", || vote_for("c")).await;
    clock_control.set(CLOSES_AT.parse().unwrap());
    assert_pages("vote-closed", get).await;
    assert_pages("vote-too-late", || vote_for("a")).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_voting_page_without_a_queue() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    // No server listens at this address.
    let unreachable = [
        "--queue-url",
        "redis://127.0.0.1:1",
        "--enqueue-timeout",
        "200ms",
    ];
    let app = App::start(&storage, &unreachable).await;
    let client = client();
    let vote = || client.post(&app.vote).form(&[("vote", "a")]);
    assert_pages("vote-uncertain", vote).await;
    app.stop().await;
}
