//! The result page without a working event stream: it polls and shows the state of its connection.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::embedded;
use crate::harness::{
    app::App,
    browser::{Browser, DESKTOP},
    load_balancer::LoadBalancer,
    scrape::{exactly, wait_for_value},
    skip::or_skip,
    storage::POLL_ID,
    viewer::{Viewer, wait_for_votes, wait_until_complete},
    voter::Voter,
};
use crate::proxies::servers::{Configuration, Proxy, Software};

const POLLING: &str = "Updates every few seconds";

/// Records all texts of the connection state, from the beginning of each page.
async fn record_connection_states(browser: &Browser) {
    let source = "
        window.states = [];
        document.addEventListener('DOMContentLoaded', () => {
            const state = document.getElementById('connection');
            new MutationObserver(() => states.push(state.textContent))
                .observe(state, { childList: true, characterData: true, subtree: true });
        });";
    let script = json!({"source": source});
    browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", script)
        .await;
}

async fn was_live(browser: &Browser) -> Value {
    browser.evaluate("return states.includes('Live')").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_polls_when_its_stream_is_held_back() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let balancer = LoadBalancer::start(&[&app.result]).await;
    balancer.hold_streams(true);
    record_connection_states(&browser).await;
    browser.goto(&balancer.url).await;
    browser
        .wait_for_text("#connection", |text| text == POLLING)
        .await;
    Voter::new(&app.vote).must_vote_for("a").await;
    browser
        .wait_for_text("#total", |text| text == "1 vote")
        .await;
    assert_eq!(was_live(&browser).await, json!(false));

    // An unchanged tally is not sent again, and delayed events do not overwrite newer data.
    let statuses = async || balancer.statuses("/api/tally");
    crate::harness::eventually(
        "a response without a body",
        |statuses| statuses.contains(&StatusCode::NOT_MODIFIED),
        statuses,
    )
    .await;
    balancer.hold_streams(false);
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    assert_eq!(browser.text("#total").await, "1 vote");
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_retries_with_backoff_and_respects_retry_after() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let balancer = LoadBalancer::start(&[&app.result]).await;
    browser.goto(&balancer.url).await;
    let waits = browser
        .evaluate(
            "const most = 30000;
            return Array.from({ length: 10 }, (_, failures) => {
                const waits = Array.from({ length: 200 }, () => backoff(failures, most));
                const longest = Math.min(1000 * 2 ** failures, most);
                return [Math.min(...waits) >= longest / 2, Math.max(...waits) <= longest];
            });",
        )
        .await;
    assert_eq!(waits, json!(vec![[true, true]; 10]));

    let retry_after = Duration::from_secs(3);
    balancer.reject_requests(Some(retry_after));
    balancer.close_streams();
    for path in ["/api/tally", "/events"] {
        let statuses = async || balancer.statuses(path);
        let twice = |statuses: &Vec<StatusCode>| {
            let unavailable = |status: &&StatusCode| **status == StatusCode::SERVICE_UNAVAILABLE;
            statuses.iter().filter(unavailable).count() >= 2
        };
        crate::harness::eventually("a second rejection", twice, statuses).await;
        let after_rejection = *balancer.intervals(path).last().unwrap();
        assert!(
            after_rejection >= retry_after,
            "{path}: {after_rejection:?}"
        );
    }
    balancer.reject_requests(None);
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_page_sends_no_requests_after_a_minute() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    // The minute ends at once, and the script hides the page, because a headless browser never does.
    let source = "
        const wait = window.setTimeout;
        window.setTimeout = (then, time) => wait(then, time === 60000 ? 0 : time);
        window.hide = (hidden) => {
            Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
            document.dispatchEvent(new Event('visibilitychange'));
        };";
    let script = json!({"source": source});
    browser
        .cdp("Page.addScriptToEvaluateOnNewDocument", script)
        .await;
    browser.goto(&app.result).await;
    let is_live = |text: &str| text == "Live";
    browser.wait_for_text("#connection", is_live).await;
    browser.evaluate("hide(true)").await;
    wait_for_value(&app.result, "result_sse_connections", exactly(0.0)).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    assert_eq!(browser.text("#total").await, "No votes yet");
    browser.evaluate("hide(false)").await;
    browser
        .wait_for_text("#total", |text| text == "1 vote")
        .await;
    browser.wait_for_text("#connection", is_live).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_polls_behind_a_buffering_proxy() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let nginx = or_skip!(Proxy::start(
        Software::Nginx,
        Configuration::Buffering,
        &app.vote,
        &app.result
    ));
    record_connection_states(&browser).await;
    browser
        .goto(&format!("http://127.0.0.1:{}", nginx.port))
        .await;
    browser
        .wait_for_text("#connection", |text| text == POLLING)
        .await;
    for total in ["1 vote", "2 votes"] {
        Voter::new(&app.vote).must_vote_for("b").await;
        browser.wait_for_text("#total", |text| text == total).await;
    }
    assert_eq!(was_live(&browser).await, json!(false));
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_viewer_polls_and_gets_the_next_free_stream() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &["--max-viewers", "1"]).await;
    let viewer = Viewer::open(&app.result, None).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    browser.goto(&app.result).await;
    browser
        .wait_for_text("#connection", |text| text == POLLING)
        .await;
    Voter::new(&app.vote).must_vote_for("a").await;
    browser
        .wait_for_text("#total", |text| text == "1 vote")
        .await;
    drop(viewer);
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    wait_for_value(&app.result, "result_sse_connections", exactly(1.0)).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_vote_is_drawn_and_announced() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    let voter = Voter::new(&app.vote);
    voter.must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    wait_until_complete(&app.result).await;
    browser.goto(&app.result).await;
    browser
        .wait_for_text("#connection", |text| text == "Live")
        .await;
    voter.must_vote_for("b").await;
    browser
        .wait_for_text("#option-b .votes", |text| text == "1")
        .await;
    assert_eq!(browser.text("#total").await, "1 vote");
    let last = "
        const row = document.querySelector('#timeline tbody tr:last-child');
        return row && Array.from(row.querySelectorAll('td'), (cell) => cell.textContent);";
    browser.wait_for_value(last, json!(["0", "1"])).await;
    let heard = "return document.getElementById('announcement').textContent";
    let wanted = "1 vote. Cats: No votes yet, 0.0%. Dogs: 1 vote, 100.0%";
    browser.wait_for_value(heard, json!(wanted)).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_with_other_options_reload_a_page_once() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let more = [
        "--poll-id",
        POLL_ID,
        "--poll-options",
        "a=Cats,b=Dogs,c=Birds",
    ];
    let (old, new) = (
        App::start(&storage, &[]).await,
        App::start(&storage, &more).await,
    );
    wait_for_votes(&old.result, &[0, 0]).await;
    wait_for_votes(&new.result, &[0, 0, 0]).await;
    let balancer = LoadBalancer::start(&[&old.result, &new.result]).await;
    browser.goto(&balancer.url).await;
    for round in 1..=8 {
        browser
            .wait_for_text("#connection", |text| text == "Live")
            .await;
        Voter::new(&old.vote).must_vote_for("a").await;
        browser
            .wait_for_text("#option-a .votes", |text| text == round.to_string())
            .await;
        balancer.close_streams();
    }
    let loads = balancer.statuses("/").len();
    assert!((1..=2).contains(&loads), "{loads} loads of the page");
    assert!(
        balancer.request_count() < 60,
        "{} requests",
        balancer.request_count()
    );
    browser.close().await;
    old.stop().await;
    new.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_poll_names_the_winner_and_shows_no_invitation() {
    let storage = embedded().await;
    let vote_url = "https://vote.example.org/";
    let closed = ["--poll-closes-at", "2020-01-01T00:00:00Z"];
    let flags = [closed[0], closed[1], "--vote-url", vote_url];
    let app = App::start(&storage, &flags).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let page = Voter::new(&app.result).get_page().await.html;
    let expected = [
        "No votes were cast.",
        ">No votes<",
        ">0.0%<",
        "width=\"0%\"",
    ];
    for text in expected {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    let insert = async |id: &str, vote: &str| {
        let vote =
            format!("INSERT INTO votes (id, poll, vote) VALUES ('{id}', '{POLL_ID}', '{vote}')");
        storage.execute(&vote).await;
    };
    for (id, vote) in [("1", "a"), ("2", "b"), ("3", "a")] {
        insert(id, vote).await;
    }
    wait_for_votes(&app.result, &[2, 1]).await;
    let page = Voter::new(&app.result).get_page().await.html;
    assert!(page.contains("Cats wins with 66.7%."), "{page}");
    assert!(!page.contains("vote.example.org"), "{page}");
    insert("4", "b").await;
    wait_for_votes(&app.result, &[2, 2]).await;
    let page = Voter::new(&app.result).get_page().await.html;
    assert!(page.contains("A tie: Cats, Dogs."), "{page}");
    app.stop().await;

    let opens_at = (Timestamp::now() + jiff::SignedDuration::from_hours(9)).to_string();
    let app = App::start(&storage, &["--poll-opens-at", &opens_at]).await;
    wait_for_votes(&app.result, &[2, 2]).await;
    let page = Voter::new(&app.result).get_page().await.html;
    assert!(page.contains("Voting begins at <time"), "{page}");
    app.stop().await;
}
