//! One event stream for all tabs and frames of a browser, which opens at most six connections to a host.

use axum::{Router, response::Html};
use serde_json::json;
use thirtyfour::WindowHandle;
use tokio::net::TcpListener;

use super::embedded;
use crate::harness::{
    app::App,
    browser::{Browser, DESKTOP},
    scrape::{exactly, wait_for_value},
    skip::or_skip,
    viewer::wait_for_votes,
    voter::Voter,
};

const STREAMS: &str = "result_sse_connections";

/// The URL of the service with a host name that is not local: over plain HTTP its pages have no secure context.
fn with_remote_name(url: &str) -> String {
    url.replace("127.0.0.1", "poll.test")
}

async fn switch(browser: &Browser, tab: &WindowHandle) {
    browser
        .driver
        .switch_to_window(tab.clone())
        .await
        .expect("the tab exists");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seven_tabs_share_one_stream_and_another_tab_takes_over() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let mut tabs = vec![browser.driver.window().await.unwrap()];
    for _ in 1..7 {
        tabs.push(browser.driver.new_tab().await.unwrap());
    }
    for tab in &tabs {
        switch(&browser, tab).await;
        browser.goto(&with_remote_name(&app.result)).await;
        browser
            .wait_for_text("#connection", |text| text == "Live")
            .await;
    }
    let secure = "return isSecureContext || 'locks' in navigator";
    assert_eq!(browser.evaluate(secure).await, json!(false));
    wait_for_value(&app.result, STREAMS, exactly(1.0)).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    for tab in &tabs {
        switch(&browser, tab).await;
        browser
            .wait_for_text("#total", |text| text == "1 vote")
            .await;
    }

    // The first tab has the stream.
    switch(&browser, &tabs[0]).await;
    browser.driver.close_window().await.unwrap();
    Voter::new(&app.vote).must_vote_for("b").await;
    for tab in &tabs[1..] {
        switch(&browser, tab).await;
        browser
            .wait_for_text("#total", |text| text == "2 votes")
            .await;
        browser
            .wait_for_text("#connection", |text| text == "Live")
            .await;
    }
    wait_for_value(&app.result, STREAMS, exactly(1.0)).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_frames_share_one_stream() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://host.test:{}", host.local_addr().unwrap().port());
    let app = App::start(&storage, &["--embed-allowed-origins", &origin]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let frame = format!(
        "<iframe src=\"{}/embed\"></iframe>",
        with_remote_name(&app.result)
    );
    let page = Html(frame.repeat(8));
    let host = tokio::spawn(axum::serve(host, Router::new().fallback(async || page)).into_future());
    browser.goto(&origin).await;
    for total in ["No votes yet", "1 vote"] {
        for frame in 0..8 {
            browser.driver.enter_frame(frame).await.unwrap();
            browser.wait_for_text("#total", |text| text == total).await;
            browser
                .wait_for_text("#connection", |text| text == "Live")
                .await;
            browser.driver.enter_default_frame().await.unwrap();
        }
        wait_for_value(&app.result, STREAMS, exactly(1.0)).await;
        if total == "No votes yet" {
            Voter::new(&app.vote).must_vote_for("a").await;
        }
    }
    browser.close().await;
    host.abort();
    app.stop().await;
}
