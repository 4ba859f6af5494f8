//! The result page while votes arrive, and while the service is unreachable.

use serde_json::json;

use super::embedded;
use crate::harness::{
    app::App,
    browser::{Browser, DESKTOP},
    free_port,
    process::Service,
    skip::or_skip,
    viewer::wait_for_votes,
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_updates_live() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    browser.goto(&app.result).await;
    browser.evaluate("window.same = true").await;
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    assert_eq!(browser.text("#total").await, "No votes yet");
    assert_eq!(browser.text("#option-a .percent").await, "0.0%");

    for choice in ["a", "a", "b"] {
        Voter::new(&app.vote).must_vote_for(choice).await;
    }
    browser
        .wait_for_text("#total", |text| text == "3 votes")
        .await;
    assert_eq!(browser.text("#option-a .percent").await, "66.7%");
    assert_eq!(browser.text("#option-a .votes").await, "2");
    let last = browser.text("#last-vote").await;
    assert!(last.starts_with("Last vote: ") && last.len() > 15, "{last}");

    let grows = "return getComputedStyle(document.querySelector('.bars rect')).transitionDuration";
    assert_eq!(browser.evaluate(grows).await, json!("0.4s"));
    let calm = json!({"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]});
    browser.cdp("Emulation.setEmulatedMedia", calm).await;
    assert_eq!(
        browser.evaluate(grows).await,
        json!("0s"),
        "no animation with reduced motion"
    );

    // The chart is drawn a little later; its table is for all users.
    let rows = "return document.querySelectorAll('#timeline tbody tr').length > 0";
    browser.wait_for_value(rows, json!(true)).await;
    let lines = "return document.querySelectorAll('#timeline polyline').length";
    assert_eq!(browser.evaluate(lines).await, json!(2));
    browser
        .driver
        .action_chain()
        .move_to_element_center(&browser.find("#timeline svg").await)
        .perform()
        .await
        .unwrap();
    let shown = browser
        .wait_for_text("#readout", |text| text.contains("Cats"))
        .await;
    assert!(shown.ends_with("Cats 2, Dogs 1"), "{shown}");
    let whole = "
        const picture = document.querySelector('#timeline svg');
        return picture.querySelector('.cursor').getBBox().height === picture.viewBox.baseVal.height;";
    assert_eq!(
        browser.evaluate(whole).await,
        json!(true),
        "the cursor is as high as the chart"
    );
    assert_eq!(browser.evaluate("return window.same").await, json!(true));
    browser.screenshot("result").await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_reader_announces_the_result_at_intervals() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    browser.goto(&app.result).await;
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    let watch = "
        window.shown = [];
        new MutationObserver(() => shown.push(document.getElementById('announcement').textContent))
            .observe(document.getElementById('announcement'), { childList: true });";
    browser.evaluate(watch).await;
    let bars =
        "return document.querySelector('#options').closest('[aria-live], [role=status]') === null";
    assert_eq!(
        browser.evaluate(bars).await,
        json!(true),
        "the numbers are not a live region"
    );
    for _ in 0..20 {
        Voter::new(&app.vote).must_vote_for("a").await;
    }
    let wanted = "20 votes. Cats: 20 votes, 100.0%. Dogs: No votes yet, 0.0%";
    browser
        .wait_for_value("return window.shown.at(-1) ?? null", json!(wanted))
        .await;
    assert_eq!(
        browser.evaluate("return window.shown.length").await,
        json!(1)
    );
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_reported_and_restored() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let vote = Service::start("vote", &storage, &[]);
    let _worker = Service::start("worker", &storage, &[]);
    let address = format!("127.0.0.1:{}", free_port());
    let result = || Service::start("result", &storage, &[("LISTEN_ADDR", &address)]);
    let mut running = result();
    wait_for_votes(&running.url, &[0, 0]).await;
    browser.goto(&running.url).await;
    browser.evaluate("window.same = true").await;
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;

    running.process.kill();
    browser
        .wait_for_text("#connection", |text| text.starts_with("Offline"))
        .await;
    browser.screenshot("result-offline").await;
    Voter::new(&vote.url).must_vote_for("b").await;
    running = result();
    browser
        .wait_for_text("#total", |text| text == "1 vote")
        .await;
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    assert_eq!(
        browser.evaluate("return window.same").await,
        json!(true),
        "without a page load"
    );
    wait_for_votes(&running.url, &[0, 1]).await;
    browser.close().await;
}
