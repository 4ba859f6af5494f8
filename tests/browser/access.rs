//! The pages for everyone: without scripts, with the keyboard alone, in each language, on every screen.

use serde_json::json;
use thirtyfour::Key;

use super::{LARGE_POLL_ID, PRESSED, embedded, start_large_poll};
use crate::harness::{
    app::App,
    browser::{Axe, Browser, BrowserSettings, DESKTOP},
    skip::or_skip,
    viewer::wait_for_votes,
    voter::Voter,
};

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
            ("voter-id", format!("{}?voter-id", app.vote)),
            ("polls", format!("{}/polls", app.result)),
            ("poll", format!("{}/polls/{LARGE_POLL_ID}", app.result)),
        ] {
            browser.goto(&url).await;
            if matches!(name, "result" | "embed") {
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
