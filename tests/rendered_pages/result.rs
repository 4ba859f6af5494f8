//! The result page.

use jiff::{Timestamp, ToSpan};
use poll::Clock;

use super::{BEFORE, CLOSES_AT, OPENS_AT, assert_pages};
use crate::harness::{
    app::App,
    eventually,
    storage::{Backend, POLL_ID, Storage},
    viewer::{get, wait_for_votes},
    voter::client,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_page_from_before_the_opening_until_after_the_closing() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let (clock, clock_control) = Clock::manual(BEFORE.parse().unwrap());
    let flags = [
        "--poll-opens-at",
        OPENS_AT,
        "--poll-closes-at",
        CLOSES_AT,
        "--vote-url",
        "https://vote.example.org/",
    ];
    let app = App::start_with_clock(clock, &storage, &flags).await;
    let client = client();
    let page = || client.get(&app.result);
    wait_for_votes(&app.result, &[0, 0]).await;
    wait_for_text(&app.result, "Voting begins").await;
    assert_pages("result-not-open-yet", page).await;

    clock_control.set(OPENS_AT.parse().unwrap());
    wait_for_text(&app.result, "Voting ends").await;
    assert_pages("result-without-votes", page).await;
    insert_votes(&storage).await;
    wait_for_votes(&app.result, &[2, 1]).await;
    wait_for_text(&app.result, "<polyline").await;
    assert_pages("result-with-votes", page).await;
    let embedded = format!("{}/embed", app.result);
    assert_pages("result-embedded", || client.get(&embedded)).await;

    clock_control.set(CLOSES_AT.parse().unwrap());
    wait_for_text(&app.result, "Voting ended").await;
    assert_pages("result-closed", page).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_page_of_a_hidden_result() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let (clock, _clock_control) = Clock::manual(OPENS_AT.parse().unwrap());
    let flags = [
        "--poll-closes-at",
        CLOSES_AT,
        "--poll-results",
        "after-close",
    ];
    let app = App::start_with_clock(clock, &storage, &flags).await;
    wait_for_text(&app.result, "id=\"hidden\"").await;
    let client = client();
    assert_pages("result-hidden", || client.get(&app.result)).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_page_without_a_store() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    // No server listens at this address.
    let unreachable = ["--database-url", "postgres://127.0.0.1:1/none"];
    let app = App::start(&storage, &unreachable).await;
    let client = client();
    assert_pages("result-unknown", || client.get(&app.result)).await;
    app.stop().await;
}

/// Inserts two votes for the first option and one for the second, cast in the first half minute of the poll.
async fn insert_votes(storage: &Storage) {
    let opens_at: Timestamp = OPENS_AT.parse().unwrap();
    let cast_ms = |seconds: i64| (opens_at + seconds.seconds()).as_millisecond();
    let statement = format!(
        "INSERT INTO votes (id, poll, vote, cast_ms)
         VALUES ('1', '{POLL_ID}', 'a', {}), ('2', '{POLL_ID}', 'b', {}), ('3', '{POLL_ID}', 'a', {})",
        cast_ms(2),
        cast_ms(14),
        cast_ms(25)
    );
    storage.execute(&statement).await;
}

/// Waits until the English page contains this text.
async fn wait_for_text(result: &str, text: &str) {
    let page = async || get(result).await.text().await.unwrap();
    eventually(text, |page: &String| page.contains(text), page).await;
}
