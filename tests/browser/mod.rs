//! The pages in a real browser.

mod counting;
mod engines;
mod feed;
mod paths;
mod proxies;
mod replicas;
mod states;
mod tabs;

use axum::{Router, response::Html};
use jiff::{Timestamp, ToSpan};
use serde_json::json;
use thirtyfour::Key;
use tokio::net::TcpListener;

use crate::harness::{
    app::App,
    browser::{Axe, Browser, BrowserSettings, DESKTOP},
    eventually, free_port,
    process::Service,
    skip::or_skip,
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

/// Starts a poll of twenty options with votes at different times, so that every part of the result page is full.
async fn start_large_poll(flags: &[&str]) -> (Storage, App) {
    let storage = embedded().await;
    let options: Vec<_> = (0..20)
        .map(|number| format!("option-{number}=The answer with number {number}"))
        .collect();
    let options = options.join(",");
    let app = App::start(&storage, &[&["--poll-options", &options], flags].concat()).await;
    wait_for_votes(&app.result, &[0; 20]).await;
    let now = Timestamp::now().as_millisecond();
    let mut votes = Vec::new();
    for step in 0..45 {
        let moment = now - (44 - step) * 10_000 - 1_000;
        for number in (0..20).filter(|number| (number + step) % 3 != 0) {
            votes.push(format!(
                "('{step}-{number}', 'option-{number}', {moment}, {number})"
            ));
        }
    }
    let votes = votes.join(",");
    storage
        .execute(&format!(
            "INSERT INTO votes (id, vote, cast_ms, cast_seq) VALUES {votes}"
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
    let opens_at = Timestamp::now() + 6.seconds();
    let closes_at = opens_at + 8.seconds();
    let (opens_at, closes_at) = (opens_at.to_string(), closes_at.to_string());
    let flags = [
        "--poll-opens-at",
        &opens_at,
        "--poll-closes-at",
        &closes_at,
        "--poll-results",
        "after-close",
    ];
    let app = App::start(&storage, &flags).await;
    browser.goto(&app.vote).await;
    let shown = browser.text("#the_phase").await;
    assert!(shown.starts_with("Voting begins at "), "{shown}");
    let disabled = "return document.getElementById('a').disabled";
    assert_eq!(browser.evaluate(disabled).await, json!(true));

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_without_scripts() {
    let storage = embedded().await;
    let settings = BrowserSettings {
        scripts: false,
        ..DESKTOP
    };
    let browser = or_skip!(Browser::open(settings).await);
    let app = App::start(&storage, &[]).await;
    browser.goto(&app.vote).await;
    browser.click("#b").await;
    let shown = browser
        .wait_for_text("#the_notice", |text| text.contains("is in"))
        .await;
    assert!(shown.contains("for Dogs"), "{shown}");
    let pressed = browser.find("#b").await.attr("aria-pressed").await.unwrap();
    assert_eq!(pressed.as_deref(), Some("true"));
    // The page was loaded by a redirect, so neither a reload nor going back votes again.
    for again in ["location.reload()", "history.back()"] {
        browser
            .evaluate(&format!("window.before = true; {again}"))
            .await;
        // The old page has the same notice, so wait until the new one is loaded.
        let is_new = "return window.before === undefined && document.readyState === 'complete'";
        browser.wait_for_value(is_new, json!(true)).await;
        browser
            .wait_for_text("#the_notice", |text| text.contains("for Dogs is in"))
            .await;
    }

    wait_for_votes(&app.result, &[0, 1]).await;
    browser.goto(&app.result).await;
    assert_eq!(browser.text("#total").await, "1 vote");
    assert_eq!(browser.text("#option-b .percent").await, "100.0%");
    assert_eq!(
        browser.text("#connection").await,
        "Reload the page to see newer votes."
    );
    browser.screenshot("result-without-scripts").await;

    // A rejected vote has a link back.
    app.stop().await;
    let closed = ["--poll-closes-at", "2020-01-01T00:00:00Z"];
    let app = App::start(&storage, &closed).await;
    let page = Voter::new(&app.vote).vote_for("a").await;
    assert!(page.html.contains("NOT counted") && page.html.contains("Back to the vote"));
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_work_with_the_keyboard_alone() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    let focus = "return document.activeElement.id";
    browser.goto(&app.vote).await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.evaluate(focus).await, json!("a"));
    browser.press(Key::Tab).await;
    assert_eq!(browser.evaluate(focus).await, json!("b"));
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(
        browser.evaluate(outline).await,
        json!("solid"),
        "the focus is visible"
    );
    browser.press(Key::Enter).await;
    browser.wait_for_value(PRESSED, json!(["b"])).await;

    wait_for_votes(&app.result, &[0, 1]).await;
    browser.goto(&app.result).await;
    let slider = "return document.getElementById('time-slider')?.hidden ?? null";
    // The chart may come a moment later than the page.
    if browser.evaluate(slider).await.is_null() {
        Voter::new(&app.vote).must_vote_for("a").await;
    }
    browser.wait_for_value(slider, json!(false)).await;
    for _ in 0..10 {
        browser.press(Key::Tab).await;
        if browser.evaluate(focus).await == json!("time-slider") {
            break;
        }
    }
    assert_eq!(browser.evaluate(focus).await, json!("time-slider"));
    browser.press(Key::Home).await;
    let shown = browser
        .wait_for_text("#readout", |text| text.contains("Dogs 1"))
        .await;
    let spoken = browser
        .find("#time-slider")
        .await
        .attr("aria-valuetext")
        .await
        .unwrap();
    assert_eq!(spoken.as_deref(), Some(shown.as_str()));
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_are_in_the_users_language() {
    let storage = embedded().await;
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    for (language, tag, accepted, live, votes, percent) in [
        (
            "ko-KR",
            "ko",
            "Cats에 투표했습니다.",
            "실시간",
            "1표",
            "100.0%",
        ),
        (
            "de-AT",
            "de",
            "Ihre Stimme für Cats ist angekommen.",
            "Live",
            "1 Stimme",
            "100,0 %",
        ),
        (
            "fr-FR",
            "en",
            "Your vote for Cats is in.",
            "Live",
            "1 vote",
            "100.0%",
        ),
    ] {
        let browser = or_skip!(
            Browser::open(BrowserSettings {
                language,
                ..DESKTOP
            })
            .await
        );
        browser.goto(&app.vote).await;
        assert_eq!(
            browser
                .evaluate("return document.documentElement.lang")
                .await,
            json!(tag)
        );
        browser.click("#a").await;
        let shown = browser
            .wait_for_text("#the_notice.good", |text| !text.is_empty())
            .await;
        assert!(shown.starts_with(accepted), "{shown}");
        browser.goto(&app.result).await;
        browser
            .wait_for_text("#connection", |text| text == live)
            .await;
        // Only the first of these voters is alone in the tally; script and server use the same words.
        if tag == "ko" {
            browser.wait_for_text("#total", |text| text == votes).await;
        }
        assert_eq!(browser.text("#option-a .percent").await, percent);
        browser.screenshot(&format!("result-{tag}")).await;
        browser.close().await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_accessible_on_every_screen() {
    let axe = or_skip!(Axe::find());
    let (_storage, app) = start_large_poll(&["--poll-closes-at", "2100-01-01T00:00:00Z"]).await;
    for (width, height, dark) in [
        (320, 640, false),
        (320, 640, true),
        (1280, 900, false),
        (1280, 900, true),
        (3840, 2160, true),
    ] {
        let settings = BrowserSettings {
            width,
            height,
            dark,
            ..DESKTOP
        };
        let browser = or_skip!(Browser::open(settings).await);
        for (name, url) in [
            ("vote", app.vote.clone()),
            ("result", app.result.clone()),
            ("embed", format!("{}/embed", app.result)),
        ] {
            browser.goto(&url).await;
            if name != "vote" {
                browser
                    .wait_for_text("#connection", |text| text == "Live")
                    .await;
            }
            // Opened parts must be accessible, too.
            browser.evaluate("for (const details of document.querySelectorAll('details')) details.open = true").await;
            let scheme = if dark { "dark" } else { "light" };
            let screen = format!("{name}-{width}-{scheme}");
            assert_eq!(
                axe.violations(&browser).await,
                Vec::<String>::new(),
                "{screen}"
            );
            let wide = "return document.documentElement.scrollWidth - innerWidth";
            let beyond = browser.evaluate(wide).await.as_i64().unwrap();
            assert!(beyond <= 0, "{screen} is {beyond} pixels too wide");
            browser.evaluate("for (const details of document.querySelectorAll('details')) details.open = false").await;
            browser.screenshot(&screen).await;
        }
        browser.close().await;
    }
    app.stop().await;
}

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
