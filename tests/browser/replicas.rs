//! A browser whose replica of `result` shuts down.

use crate::{
    faults::start_ready,
    harness::{
        browser::{Browser, DESKTOP},
        proxy::Proxy,
        skip::or_skip,
        storage::{Backend, Storage},
        voter::Voter,
    },
};

/// The page stays loaded and continues with the data of another replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_reconnect_to_another_replica() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let mut replica = start_ready("result", &storage, &[("SHUTDOWN_TIMEOUT", "1h")]).await;
    let other = start_ready("result", &storage, &[]).await;
    let (proxy, address) = Proxy::to(&replica.url).await;
    browser.goto(&address).await;
    browser.evaluate("window.same = true").await;
    let live = |text: &str| text == "Live";
    browser.wait_for_text("#connection", live).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    browser
        .wait_for_text("#total", |text| text == "1 vote")
        .await;

    proxy.set_upstream(&other.url);
    assert!(replica.process.terminate().success());
    Voter::new(&vote.url).must_vote_for("b").await;
    browser
        .wait_for_text("#total", |text| text == "2 votes")
        .await;
    browser.wait_for_text("#connection", live).await;
    assert_eq!(browser.evaluate("return window.same").await, true);
    browser.close().await;
}
