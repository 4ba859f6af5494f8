//! The result page while no worker is running.

use super::embedded;
use crate::harness::{
    browser::{Browser, DESKTOP},
    process::Service,
    skip::or_skip,
    viewer::wait_for_votes,
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_page_reports_votes_that_wait_to_be_counted() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let vote = Service::start("vote", &storage, &[]);
    let result = Service::start("result", &storage, &[]);
    let mut worker = Service::start("worker", &storage, &[]);
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;
    browser.goto(&result.url).await;
    let live = |text: &str| text == "Live";
    browser.wait_for_text("#connection", live).await;
    // The page must report it without a new vote.
    assert!(worker.process.terminate().success());
    let counting = |text: &str| text.starts_with("Votes are still being counted, more than ");
    browser.wait_for_text("#connection", counting).await;
    Voter::new(&vote.url).must_vote_for("b").await;
    let _worker = Service::start("worker", &storage, &[]);
    browser
        .wait_for_text("#total", |text| text == "2 votes")
        .await;
    browser.wait_for_text("#connection", live).await;
    browser.close().await;
}
