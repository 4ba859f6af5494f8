//! Both pages below base paths of one site, in a real browser.

use serde_json::json;

use super::embedded;
use crate::{
    harness::{
        app::App,
        browser::{Browser, BrowserSettings, DESKTOP},
        skip::or_skip,
        viewer::wait_for_votes,
    },
    proxies::servers::{Configuration, HOST, Proxy, Software},
};

const BASE_PATHS: [&str; 4] = ["--vote-base-path", "/vote", "--result-base-path", "/result"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_votes_and_shows_the_result_below_base_paths() {
    for (configuration, flags, path) in [
        (Configuration::PathRemoved, &[][..], ""),
        (Configuration::PathKept, &BASE_PATHS, "/result"),
    ] {
        let storage = embedded().await;
        let app = App::start(&storage, flags).await;
        let proxy = or_skip!(Proxy::start(
            Software::Nginx,
            configuration,
            &app.vote,
            &app.result
        ));
        let site = format!("http://{HOST}:{}", proxy.port);
        for (scripts, votes) in [(true, [0, 1]), (false, [0, 2])] {
            let settings = BrowserSettings { scripts, ..DESKTOP };
            let browser = or_skip!(Browser::open(settings).await);
            browser.goto(&format!("{site}/vote/")).await;
            let border = "return getComputedStyle(document.getElementById('a')).borderTopStyle";
            assert_eq!(
                browser.evaluate(border).await,
                json!("solid"),
                "the page has its style"
            );
            browser.evaluate("window.same = true").await;
            for (key, label) in [("a", "Cats"), ("b", "Dogs")] {
                browser.click(&format!("#{key}")).await;
                let expected = format!("Your vote for {label} is in.");
                browser
                    .wait_for_text("#the_notice", |text| text.starts_with(&expected))
                    .await;
            }
            let same = "return window.same === true";
            assert_eq!(browser.evaluate(same).await, json!(scripts));
            wait_for_votes(&format!("{}{path}", app.result), &votes).await;

            browser.goto(&format!("{site}/result/")).await;
            let total = if votes[1] == 1 { "1 vote" } else { "2 votes" };
            assert_eq!(browser.text("#total").await, total);
            if scripts {
                browser
                    .wait_for_text("#connection", |text| text == "Live")
                    .await;
            }
            let outside = "
                return performance.getEntriesByType('resource').map((file) => new URL(file.name).pathname)
                    .filter((path) => !path.startsWith('/result/'))";
            assert_eq!(browser.evaluate(outside).await, json!([]));
            browser.close().await;
        }
        app.stop().await;
    }
}
