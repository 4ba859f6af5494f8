//! The pages in a real browser.

mod access;
mod counting;
mod engines;
mod feed;
mod links;
mod live_result;
mod paths;
mod proxies;
mod replicas;
mod states;
mod tabs;
mod voting;

use jiff::Timestamp;

use crate::harness::{
    app::App,
    eventually,
    storage::{Backend, Storage},
    viewer::{get_json, wait_for_votes},
    voter::Voter,
};

const PRESSED: &str =
    "return Array.from(document.querySelectorAll('[aria-pressed=true]'), (button) => button.id)";

async fn embedded() -> Storage {
    Storage::new(Backend::Embedded)
        .await
        .expect("embedded storage is always available")
}

/// Id of the poll that [`start_large_poll`] starts.
const LARGE_POLL_ID: &str = "large";

/// Starts a poll of twenty options with votes at different times, so that every part of the result page is full.
async fn start_large_poll(flags: &[&str]) -> (Storage, App) {
    let storage = embedded().await;
    let options: Vec<_> = (0..20)
        .map(|number| format!("option-{number}=The answer with number {number}"))
        .collect();
    let options = options.join(",");
    let settings = ["--poll-id", LARGE_POLL_ID, "--poll-options", &options];
    let app = App::start(&storage, &[&settings, flags].concat()).await;
    wait_for_votes(&app.result, &[0; 20]).await;
    let now = Timestamp::now().as_millisecond();
    let mut votes = Vec::new();
    for step in 0..45 {
        let moment = now - (44 - step) * 10_000 - 1_000;
        for number in (0..20).filter(|number| (number + step) % 3 != 0) {
            votes.push(format!(
                "('{step}-{number}', '{LARGE_POLL_ID}', 'option-{number}', {moment}, {number})"
            ));
        }
    }
    let votes = votes.join(",");
    storage
        .execute(&format!(
            "INSERT INTO votes (id, poll, vote, cast_ms, cast_seq) VALUES {votes}"
        ))
        .await;
    Voter::new(&app.vote).must_vote_for("option-3").await;
    let timeline = format!("{}/api/timeline", app.result);
    eventually(
        "a full timeline",
        |steps| *steps > Some(40),
        async || {
            let (_, timeline) = get_json(&timeline).await;
            timeline["steps"].as_array().map(Vec::len)
        },
    )
    .await;
    (storage, app)
}
