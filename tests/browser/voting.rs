//! Votes without a page load, and the states of an open voting page.

use jiff::{Timestamp, ToSpan};
use poll::Clock;
use serde_json::json;

use super::{PRESSED, embedded};
use crate::harness::{
    app::App,
    browser::{Browser, DESKTOP},
    process::Service,
    skip::or_skip,
    viewer::wait_for_votes,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_needs_no_page_load() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    browser.goto(&app.vote).await;
    browser.evaluate("window.same = true").await;
    let hint = browser.text("#the_notice").await;
    let before = browser.find("#a").await.rect().await.unwrap();
    browser.click("#a").await;
    let shown = browser
        .wait_for_text("#the_notice", |text| text.contains("is in"))
        .await;
    assert_eq!(shown, "Your vote for Cats is in. You can change it here.");
    assert_ne!(shown, hint);
    assert_eq!(browser.evaluate(PRESSED).await, json!(["a"]));
    let role = browser
        .find("#the_notice")
        .await
        .attr("role")
        .await
        .unwrap();
    assert_eq!(
        role.as_deref(),
        Some("status"),
        "screen readers announce it"
    );
    browser.screenshot("vote").await;

    browser.click("#b").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Dogs is in"))
        .await;
    assert_eq!(browser.evaluate("return window.same").await, json!(true));
    let focus = browser.evaluate("return document.activeElement.id").await;
    assert_eq!(focus, json!("b"), "the focus stays");
    let after = browser.find("#a").await.rect().await.unwrap();
    assert_eq!((before.x, before.y), (after.x, after.y), "nothing moves");

    browser.driver.refresh().await.unwrap();
    assert_eq!(browser.evaluate(PRESSED).await, json!(["b"]));
    assert_eq!(
        browser.text("#the_notice").await,
        "Your vote for Dogs is in. You can change it here."
    );
    wait_for_votes(&app.result, &[0, 1]).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_windows_are_one_voter() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    let first = browser.driver.window().await.unwrap();
    browser.goto(&app.vote).await;
    browser.click("#a").await;
    browser.wait_for_value(PRESSED, json!(["a"])).await;

    let second = browser.driver.new_tab().await.unwrap();
    browser.driver.switch_to_window(second).await.unwrap();
    browser.goto(&app.vote).await;
    assert_eq!(browser.evaluate(PRESSED).await, json!(["a"]));
    browser.click("#b").await;
    browser.wait_for_value(PRESSED, json!(["b"])).await;

    browser.driver.switch_to_window(first).await.unwrap();
    browser.wait_for_value(PRESSED, json!(["b"])).await;
    wait_for_votes(&app.result, &[0, 1]).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_without_a_response_is_reported_as_unconfirmed() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let mut vote = Service::start("vote", &storage, &[]);
    browser.goto(&vote.url).await;
    vote.process.kill();
    browser.click("#a").await;
    let shown = browser
        .wait_for_text("#the_notice", |text| text.contains("is not responding"))
        .await;
    assert!(
        shown.starts_with("We couldn't confirm your vote. Please vote again."),
        "{shown}"
    );
    assert_eq!(
        browser.evaluate(PRESSED).await,
        json!([]),
        "no vote is shown"
    );
    let role = browser
        .find("#the_notice")
        .await
        .attr("role")
        .await
        .unwrap();
    assert_eq!(role.as_deref(), Some("alert"));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_follows_the_opening_and_closing_of_the_poll() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let now = Timestamp::now();
    // The browser has no manual clock, so its wait for the opening is real.
    let opens_at = now + 1.second();
    let closes_at = now + 1.hour();
    let flags = [
        "--poll-opens-at",
        &opens_at.to_string(),
        "--poll-closes-at",
        &closes_at.to_string(),
        "--poll-results",
        "after-close",
    ];
    let (clock, clock_control) = Clock::manual(now);
    let app = App::start_with_clock(clock, &storage, &flags).await;
    browser.goto(&app.vote).await;
    let shown = browser.text("#the_phase").await;
    assert!(shown.starts_with("Voting begins at "), "{shown}");
    let disabled = "return document.getElementById('a').disabled";
    assert_eq!(browser.evaluate(disabled).await, json!(true));

    clock_control.set(opens_at);
    browser.wait_for_value(disabled, json!(false)).await;
    browser.click("#b").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Dogs is in"))
        .await;
    let shown = browser.text("#the_phase").await;
    assert!(shown.starts_with("Voting ends at "), "{shown}");

    browser.goto(&app.result).await;
    assert!(
        browser
            .text("#hidden")
            .await
            .contains("when voting has ended")
    );
    assert_eq!(browser.text("#option-b .percent").await, "–");
    clock_control.set(closes_at);
    browser
        .wait_for_text("#option-b .percent", |text| text == "100.0%")
        .await;
    assert!(browser.text("#phase").await.starts_with("Voting ended at "));
    assert_eq!(browser.text("#outcome").await, "Dogs wins with 100.0%.");
    assert_eq!(browser.text(".invitation").await, "");

    browser.goto(&app.vote).await;
    assert_eq!(browser.evaluate(disabled).await, json!(true));
    assert!(
        browser
            .text("#the_phase")
            .await
            .starts_with("Voting ended at ")
    );
    assert_eq!(browser.evaluate(PRESSED).await, json!(["b"]));
    browser.screenshot("vote-closed").await;
    browser.close().await;
    app.stop().await;
}

/// The service is restarted with another poll while the page is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_for_an_old_poll_shows_the_new_one_without_a_page_load() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let mut old = Service::start("vote", &storage, &[]);
    let address = old.url.trim_start_matches("http://").trim_end_matches('/');
    let settings = [
        ("LISTEN_ADDR", address),
        ("POLL_QUESTION", "Tea or Coffee?"),
        ("POLL_OPTIONS", "b=Coffee,tea=Tea,none=None"),
    ];
    browser.goto(&old.url).await;
    browser.evaluate("window.same = true").await;
    assert!(old.process.terminate().success());
    let new = Service::start("vote", &storage, &settings);
    browser.click("#b").await;
    let shown = browser
        .wait_for_text("#the_notice", |text| text.contains("new question"))
        .await;
    assert!(shown.starts_with("Your vote was NOT counted."), "{shown}");
    assert_eq!(browser.text("#the_question").await, "Tea or Coffee?");
    let labels = "return Array.from(document.querySelectorAll('#the_options button'), (button) => button.textContent)";
    assert_eq!(
        browser.evaluate(labels).await,
        json!(["Coffee", "Tea", "None"])
    );
    assert_eq!(
        browser.evaluate("return document.title").await,
        json!("Tea or Coffee?")
    );
    assert_eq!(browser.evaluate(PRESSED).await, json!([]));
    browser.click("#tea").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Tea is in"))
        .await;
    assert_eq!(browser.evaluate(PRESSED).await, json!(["tea"]));
    assert_eq!(browser.evaluate("return window.same").await, json!(true));
    browser.close().await;
    drop(new);
}
