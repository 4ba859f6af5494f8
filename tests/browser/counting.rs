//! A result page while no worker counts.

use super::embedded;
use crate::harness::{
    browser::{Browser, SOMEBODY},
    process::Service,
    skip::or_skip,
    viewer::until_votes,
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_page_reports_votes_that_wait_to_be_counted() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(SOMEBODY).await);
    let vote = Service::start("vote", &storage, &[]);
    let result = Service::start("result", &storage, &[]);
    let mut worker = Service::start("worker", &storage, &[]);
    Voter::new(&vote.url).must_vote_for("a").await;
    until_votes(&result.url, &[1, 0]).await;
    browser.goto(&result.url).await;
    let live = |text: &str| text == "Live";
    browser.until_text("#connection", live).await;
    // Nobody votes, and all the same it is said.
    assert!(worker.process.terminate().success());
    let counting = |text: &str| text.starts_with("Votes are still being counted, more than ");
    browser.until_text("#connection", counting).await;
    Voter::new(&vote.url).must_vote_for("b").await;
    let _worker = Service::start("worker", &storage, &[]);
    browser.until_text("#total", |text| text == "2 votes").await;
    browser.until_text("#connection", live).await;
    browser.close().await;
}
