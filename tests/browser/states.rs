//! The states of the pages: before, during and after the poll, the outcomes of a vote, and missing pages.

use jiff::{Timestamp, ToSpan};
use poll::Clock;
use serde_json::json;

use super::{PRESSED, embedded};
use crate::harness::{
    app::App,
    browser::{Axe, Browser, BrowserSettings, DESKTOP},
    skip::or_skip,
    viewer::wait_for_votes,
    voter::Voter,
};

/// A script that holds back votes until the test releases them one by one, and records the sent votes and the notices.
const HOLD_VOTES: &str = "
    window.sent = [];
    window.shown = [];
    window.releases = [];
    const send = window.fetch;
    window.fetch = async (address, options) => {
        if (options.method === 'POST') {
            sent.push(options.body.get('vote'));
            await new Promise((resolve) => releases.push(resolve));
        }
        return send(address, options);
    };
    const notice = document.getElementById('the_notice');
    new MutationObserver(() => shown.push(notice.textContent)).observe(notice, { childList: true });";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_choice_wins_over_a_slow_vote() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let options = ["--poll-options", "a=Cats,b=Dogs,c=Birds"];
    let app = App::start(&storage, &options).await;
    browser.goto(&app.vote).await;
    browser.evaluate(HOLD_VOTES).await;
    for choice in ["#a", "#b", "#c"] {
        browser.click(choice).await;
    }
    assert_eq!(browser.evaluate("return sent").await, json!(["a"]));
    let sending = "return Array.from(document.querySelectorAll('.sending'), (button) => button.id)";
    assert_eq!(browser.evaluate(sending).await, json!(["c"]));
    browser.screenshot("vote-sending").await;
    browser.evaluate("releases.shift()()").await;
    browser
        .wait_for_value("return sent", json!(["a", "c"]))
        .await;
    assert_eq!(
        browser.evaluate(PRESSED).await,
        json!([]),
        "no superseded vote is shown"
    );
    browser.evaluate("releases.shift()()").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Birds is in"))
        .await;
    assert_eq!(browser.evaluate(PRESSED).await, json!(["c"]));
    assert_eq!(browser.evaluate(sending).await, json!([]));
    let claims = "return shown.filter((text) => / for (Cats|Dogs) /.test(text))";
    assert_eq!(browser.evaluate(claims).await, json!([]));

    // The choice that is in flight needs no second vote, and cancels the clicks in between.
    for choice in ["#a", "#b", "#a"] {
        browser.click(choice).await;
    }
    browser.evaluate("releases.shift()()").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Cats is in"))
        .await;
    assert_eq!(
        browser.evaluate("return sent").await,
        json!(["a", "c", "a"])
    );
    wait_for_votes(&app.result, &[1, 0, 0]).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_translated_page_votes_without_a_page_load() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    browser.goto(&app.vote).await;
    let translate = "
        window.same = true;
        document.documentElement.lang = 'fr';
        for (const [key, label] of [['a', 'Chats'], ['b', 'Chiens']])
            document.getElementById(key).innerHTML = `<font><font>${label}</font></font>`;";
    browser.evaluate(translate).await;
    browser.click("#b").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("is in"))
        .await;
    assert_eq!(browser.evaluate("return window.same").await, json!(true));
    assert_eq!(browser.text("#a").await, "Chats");
    assert_eq!(browser.evaluate(PRESSED).await, json!(["b"]));
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn option_keys_may_be_names_of_form_properties() {
    // Each key shadows a property of the form, the document or the window.
    let keys = [
        "elements", "submit", "action", "method", "name", "length", "dataset", "children", "id",
        "reset", "remove", "target", "hidden", "title", "location", "fetch", "vote", "form",
        "closest", "0",
    ];
    let options: Vec<_> = keys.iter().map(|key| format!("{key}=The {key}")).collect();
    let options = options.join(",");
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &["--poll-options", &options]).await;
    browser.goto(&app.vote).await;
    browser.evaluate("window.same = true").await;
    for key in keys {
        browser.click(&format!("[value='{key}']")).await;
        let wanted = format!("for The {key} is in");
        browser
            .wait_for_text("#the_notice", |text| text.contains(&wanted))
            .await;
    }
    assert_eq!(browser.evaluate("return window.same").await, json!(true));
    let mut votes = [0; 20];
    votes[19] = 1;
    wait_for_votes(&app.result, &votes).await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_to_left_texts_are_displayed_right_to_left() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let flags = [
        "--poll-question",
        "ما هو المفضل لديك؟",
        "--poll-options",
        "a=قطط 2,b=Dogs",
    ];
    let app = App::start(&storage, &flags).await;
    let directions = |css: &str| {
        format!(
            "return Array.from(document.querySelectorAll('{css}'), (found) => getComputedStyle(found).direction)"
        )
    };
    browser.goto(&app.vote).await;
    for (css, wanted) in [
        ("h1", json!(["rtl"])),
        ("#the_options button", json!(["rtl", "ltr"])),
    ] {
        assert_eq!(browser.evaluate(&directions(css)).await, wanted, "{css}");
    }
    browser.click("#a").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("is in"))
        .await;
    let label = "return document.querySelector('#the_notice bdi').textContent";
    assert_eq!(browser.evaluate(label).await, json!("قطط 2"));
    browser.screenshot("vote-rtl").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    browser.goto(&app.result).await;
    let table = directions("thead th:not(:first-child)");
    while browser.evaluate(&table).await == json!([]) {
        browser.goto(&app.result).await;
    }
    for (css, wanted) in [
        ("h1", json!(["rtl"])),
        (".label", json!(["rtl", "ltr"])),
        ("thead th:not(:first-child)", json!(["rtl", "ltr"])),
    ] {
        assert_eq!(browser.evaluate(&directions(css)).await, wanted, "{css}");
    }
    browser.screenshot("result-rtl").await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_updates_the_phase_when_the_laptop_wakes() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let now = Timestamp::now();
    let (clock, control) = Clock::manual(now);
    let opens_at = (now + 1.hour()).to_string();
    let app = App::start_with_clock(clock, &storage, &["--poll-opens-at", &opens_at]).await;
    browser.goto(&app.vote).await;
    let shown = browser.text("#the_notice").await;
    assert_eq!(shown, "Voting has not begun yet.");
    control.set(now + 2.hours());
    browser
        .evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        .await;
    browser
        .wait_for_text("#the_notice", |text| text.starts_with("Choose one."))
        .await;
    browser.click("#a").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Cats is in"))
        .await;
    browser.close().await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_opens_at_the_servers_time_whatever_the_clock_of_the_browser() {
    let storage = embedded().await;
    for hours in [-1, 1] {
        let browser = or_skip!(Browser::open(DESKTOP).await);
        let set_clock =
            format!("{{ const now = Date.now; Date.now = () => now() + {hours} * 3600000; }}");
        let script = json!({ "source": set_clock });
        browser
            .cdp("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
        let opens_at = (Timestamp::now() + 5.seconds()).to_string();
        let app = App::start(&storage, &["--poll-opens-at", &opens_at]).await;
        browser.goto(&app.vote).await;
        let shown = browser.text("#the_notice").await;
        assert_eq!(shown, "Voting has not begun yet.", "{hours}");
        browser
            .wait_for_text("#the_notice", |text| text.starts_with("Choose one."))
            .await;
        browser.close().await;
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_localized_and_name_their_zone() {
    let storage = embedded().await;
    let flags = ["--poll-closes-at", "2100-01-01T14:05:00Z"];
    let app = App::start(&storage, &flags).await;
    for (language, wanted) in [
        ("en-GB", "Voting ends at 1 Jan 2100, 15:05 CET."),
        ("en-US", "Voting ends at Jan 1, 2100, 3:05 PM GMT+1."),
        ("de-AT", "Die Abstimmung endet am 1. Jän. 2100, 15:05 MEZ."),
    ] {
        let settings = BrowserSettings {
            language,
            ..DESKTOP
        };
        let browser = or_skip!(Browser::open(settings).await);
        let zone = json!({"timezoneId": "Europe/Berlin"});
        browser.cdp("Emulation.setTimezoneOverride", zone).await;
        browser.goto(&app.vote).await;
        let shown = browser.text("#the_phase").await;
        assert_eq!(shown.replace('\u{202f}', " "), wanted);
        browser.close().await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_whether_the_poll_is_open_and_when() {
    let axe = or_skip!(Axe::find());
    let storage = embedded().await;
    let phone = BrowserSettings {
        width: 390,
        height: 844,
        dark: true,
        ..DESKTOP
    };
    for (state, flags, phase, notice) in [
        (
            "closed",
            ["--poll-closes-at", "2020-01-01T00:00:00Z"],
            "Voting ended at ",
            "Voting is over.",
        ),
        (
            "not-open-yet",
            ["--poll-opens-at", "2100-01-01T00:00:00Z"],
            "Voting begins at ",
            "Voting has not begun yet.",
        ),
        (
            "open",
            ["--poll-closes-at", "2100-01-01T00:00:00Z"],
            "Voting ends at ",
            "Choose one. Only your last choice counts.",
        ),
    ] {
        let app = App::start(&storage, &flags).await;
        for (screen, settings) in [("desk", DESKTOP), ("phone-dark", phone)] {
            let browser = or_skip!(Browser::open(settings).await);
            browser.goto(&app.vote).await;
            assert!(browser.text("#the_phase").await.starts_with(phase));
            assert_eq!(browser.text("#the_notice").await, notice);
            browser.screenshot(&format!("vote-{state}-{screen}")).await;
            assert_eq!(axe.violations(&browser).await, Vec::<String>::new());
            for path in ["nowhere", "a/b/c"] {
                browser.goto(&format!("{}/{path}", app.vote)).await;
                let ground = "return getComputedStyle(document.body).backgroundColor";
                let wanted = if settings.dark {
                    "rgb(20, 23, 27)"
                } else {
                    "rgb(246, 247, 249)"
                };
                assert_eq!(browser.evaluate(ground).await, json!(wanted), "{path}");
                browser.screenshot(&format!("not-found-{screen}")).await;
                assert_eq!(axe.violations(&browser).await, Vec::<String>::new());
                browser.click("main a").await;
                browser
                    .wait_for_value("return location.pathname", json!("/"))
                    .await;
            }
            browser.close().await;
        }
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_returning_voter_sees_the_current_vote() {
    let storage = embedded().await;
    let now = Timestamp::now();
    let (clock, control) = Clock::manual(now);
    let closes_at = (now + 1.hour()).to_string();
    let flags = [
        "--poll-closes-at",
        &closes_at,
        "--votes-per-minute",
        "1",
        "--votes-burst",
        "1",
    ];
    let app = App::start_with_clock(clock, &storage, &flags).await;
    let voter = Voter::new(&app.vote);
    voter.must_vote_for("b").await;
    let page = voter.get_page().await.html;
    assert!(
        page.contains("Your vote for <bdi>Dogs</bdi> is in. You can change it here."),
        "{page}"
    );
    let rejected = voter.vote_for("a").await;
    let seconds = rejected.retry_after.expect("a rejection has a Retry-After");
    let wait = match &*seconds {
        "1" => "1 second".to_owned(),
        _ => format!("{seconds} seconds"),
    };
    let wanted = format!("Please try again in {wait}.");
    assert!(rejected.html.contains(&wanted), "{}", rejected.html);
    control.set(now + 2.hours());
    let page = voter.get_page().await.html;
    let wanted = "Voting is over. Your vote for <bdi>Dogs</bdi> is in.";
    assert!(
        page.contains(wanted) && !page.contains("Choose one"),
        "{page}"
    );
    app.stop().await;
}
