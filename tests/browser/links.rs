//! Files that the pages load, their links, and pages that embed them.

use axum::{Router, response::Html};
use serde_json::json;
use tokio::net::TcpListener;

use super::{embedded, start_large_poll};
use crate::harness::{
    app::App,
    browser::{Browser, DESKTOP},
    skip::or_skip,
    viewer::wait_for_votes,
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_small_and_stable_and_load_nothing_from_other_origins() {
    let (_storage, app) = start_large_poll(&["--vote-url", "https://vote.example.org/"]).await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let shifts = "
        window.shift = 0;
        new PerformanceObserver((list) => { for (const entry of list.getEntries()) shift += entry.value; })
            .observe({ type: 'layout-shift', buffered: true });";
    for (name, url) in [("vote", &app.vote), ("result", &app.result)] {
        browser.goto(url).await;
        browser.evaluate(shifts).await;
        if name == "result" {
            browser
                .wait_for_text("#connection", |text| text == "Live")
                .await;
            Voter::new(&app.vote).must_vote_for("option-1").await;
            let rows = "return document.querySelectorAll('#timeline tbody tr').length";
            assert!(
                browser.evaluate(rows).await.as_i64() > Some(40),
                "the page is as large as possible"
            );
        }
        let facts = browser.evaluate("
            const [page] = performance.getEntriesByType('navigation');
            const files = performance.getEntriesByType('resource').filter((file) => !file.name.endsWith('/events'));
            const [paint] = performance.getEntriesByName('first-contentful-paint');
            const all = [page, ...files];
            const sum = (field) => all.reduce((total, entry) => total + entry[field], 0);
            return {
                requests: all.length,
                bytes: sum('decodedBodySize'),
                transferred: sum('encodedBodySize'),
                elsewhere: all.filter((entry) => new URL(entry.name).origin !== location.origin).length,
                failed: all.filter((entry) => entry.responseStatus !== 200).map((entry) => entry.name),
                firstPaint: paint ? Math.round(paint.startTime) : null,
            };").await;
        eprintln!("{name}: {facts}");
        let number = |fact: &str| facts[fact].as_u64().unwrap();
        assert!(number("transferred") < 20_000, "{name}: {facts}");
        assert!(
            number("transferred") * 2 < number("bytes"),
            "{name} is compressed: {facts}"
        );
        assert_eq!(
            (number("elsewhere"), &facts["failed"]),
            (0, &json!([])),
            "{name}: {facts}"
        );
        let shift = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(shift))))";
        let shift = browser.evaluate(shift).await.as_f64().unwrap();
        assert!(shift < 0.01, "{name} shifts by {shift}");
    }
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_allowed_origins_can_embed_the_result() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    for is_invited in [true, false] {
        let host = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", host.local_addr().unwrap());
        let flags = ["--embed-allowed-origins", &origin];
        let app = App::start(&storage, if is_invited { &flags } else { &[] }).await;
        wait_for_votes(&app.result, &[0, 0]).await;
        let page = Html(format!("<iframe src=\"{}/embed\"></iframe>", app.result));
        let host =
            tokio::spawn(axum::serve(host, Router::new().fallback(async || page)).into_future());
        browser.goto(&origin).await;
        browser.driver.enter_frame(0).await.unwrap();
        let total = browser.text("#total").await;
        assert_eq!(total, if is_invited { "No votes yet" } else { "" });
        browser.driver.enter_default_frame().await.unwrap();
        host.abort();
        app.stop().await;
    }
    browser.close().await;
}

#[tokio::test]
async fn the_result_page_links_to_the_voting_page_with_a_qr_code() {
    let storage = embedded().await;
    let app = App::start(&storage, &["--vote-url", "https://vote.example.org/poll"]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let page = Voter::new(&app.result).get_page().await.html;
    assert!(
        page.contains("<a href=\"https://vote.example.org/poll\">Vote here</a>"),
        "{page}"
    );
    let picture = page
        .split("<img src=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let picture = Voter::new(&format!("{}/{picture}", app.result))
        .get_page()
        .await;
    assert!(picture.html.contains("<svg"), "{}", picture.html);
    app.stop().await;
}
