//! A real browser behind real proxies over plain HTTP, where it sends no `Sec-Fetch-Site`.

use serde_json::json;

use super::{PRESSED, embedded};
use crate::{
    harness::{
        app::App,
        browser::{Browser, BrowserSettings, DESKTOP},
        proxy::{self, Toxic},
        skip::or_skip,
        viewer::wait_for_votes,
    },
    proxies::servers::{Configuration, HOST, Proxy, Software},
};

/// Proxies that send another `Host`, a `Host` without the port, or the browser's own.
pub const PROXIES: [(Software, Configuration); 6] = [
    (Software::Nginx, Configuration::Bare),
    (Software::Nginx, Configuration::HostWithoutPort),
    (Software::Apache, Configuration::Bare),
    (Software::Haproxy, Configuration::Bare),
    (Software::Caddy, Configuration::Bare),
    (Software::Varnish, Configuration::Bare),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_votes_through_every_proxy_with_and_without_scripts() {
    let storage = embedded().await;
    let app = App::start(&storage, &[]).await;
    let mut voters = 0;
    for scripts in [true, false] {
        for (software, configuration) in PROXIES {
            let proxy = or_skip!(Proxy::start(
                software,
                configuration,
                &app.vote,
                &app.result
            ));
            let settings = BrowserSettings { scripts, ..DESKTOP };
            let browser = or_skip!(Browser::open(settings).await);
            browser
                .goto(&format!("http://{HOST}:{}/", proxy.port))
                .await;
            for (key, label) in [("a", "Cats"), ("b", "Dogs")] {
                browser.click(&format!("#{key}")).await;
                let expected = format!("Your vote for {label} is in.");
                browser
                    .wait_for_text("#the_notice", |text| text.contains(&expected))
                    .await;
                if scripts {
                    browser.wait_for_value(PRESSED, json!([key])).await;
                }
            }
            browser.close().await;
            voters += 1;
            wait_for_votes(&app.result, &[0, voters]).await;
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_without_cookies_gets_a_notice() {
    let storage = embedded().await;
    let app = App::start(&storage, &[]).await;
    let has_notice = |text: &str| text.contains("does not keep our cookie");
    for (scripts, clicks) in [(true, 2), (false, 1)] {
        let settings = BrowserSettings {
            scripts,
            cookies: false,
            ..DESKTOP
        };
        let browser = or_skip!(Browser::open(settings).await);
        browser.goto(&app.vote).await;
        for click in 1..=clicks {
            browser.click("#a").await;
            let is_expected =
                |text: &str| has_notice(text) || (click < clicks && text.contains("is in"));
            browser.wait_for_text("#the_notice", is_expected).await;
        }
        browser.close().await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_first_vote_counts_once_after_a_lost_response() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(DESKTOP).await);
    let app = App::start(&storage, &[]).await;
    let (vote_proxy, address) = proxy::Proxy::to(&app.vote).await;
    browser.goto(&address).await;
    vote_proxy.set_toxic(Toxic::TimeoutDownstream);
    browser.click("#a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    vote_proxy.reset_open_connections();
    vote_proxy.set_toxic(Toxic::None);
    // Chromium may retry by itself.
    browser
        .wait_for_text("#the_notice", |text| {
            text.contains("is not responding") || text.contains("is in")
        })
        .await;
    browser.click("#b").await;
    browser
        .wait_for_text("#the_notice", |text| text.contains("for Dogs is in"))
        .await;
    wait_for_votes(&app.result, &[0, 1]).await;
    browser.close().await;
    app.stop().await;
}
