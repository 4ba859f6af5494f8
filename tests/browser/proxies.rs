//! A real browser behind real proxies, over plain HTTP, where it does not say where its requests come from.

use serde_json::json;

use super::{PRESSED, embedded};
use crate::{
    harness::{
        app::App,
        browser::{Browser, Person, SOMEBODY},
        proxy::{self, Network},
        skip::or_skip,
        viewer::until_votes,
    },
    proxies::servers::{Configuration, HOST, Proxy, Software},
};

/// Proxies that send another `Host`, one without its port, and the browser's own.
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
            let person = Person {
                scripts,
                ..SOMEBODY
            };
            let browser = or_skip!(Browser::open(person).await);
            browser
                .goto(&format!("http://{HOST}:{}/", proxy.port))
                .await;
            for (key, label) in [("a", "Cats"), ("b", "Dogs")] {
                browser.click(&format!("#{key}")).await;
                let said = format!("Your vote for {label} is in.");
                browser
                    .until_text("#the_notice", |text| text.contains(&said))
                    .await;
                if scripts {
                    browser.until(PRESSED, json!([key])).await;
                }
            }
            browser.close().await;
            voters += 1;
            until_votes(&app.result, &[0, voters]).await;
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_without_cookies_gets_a_notice() {
    let storage = embedded().await;
    let app = App::start(&storage, &[]).await;
    let not_kept = |text: &str| text.contains("does not keep our cookie");
    for (scripts, clicks) in [(true, 2), (false, 1)] {
        let person = Person {
            scripts,
            cookies: false,
            ..SOMEBODY
        };
        let browser = or_skip!(Browser::open(person).await);
        browser.goto(&app.vote).await;
        for click in 1..=clicks {
            browser.click("#a").await;
            let is_said = |text: &str| not_kept(text) || (click < clicks && text.contains("is in"));
            browser.until_text("#the_notice", is_said).await;
        }
        browser.close().await;
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retried_first_vote_counts_once_after_a_lost_response() {
    let storage = embedded().await;
    let browser = or_skip!(Browser::open(SOMEBODY).await);
    let app = App::start(&storage, &[]).await;
    let (network, address) = proxy::Proxy::to(&app.vote).await;
    browser.goto(&address).await;
    network.make(Network::NoAnswers);
    browser.click("#a").await;
    until_votes(&app.result, &[1, 0]).await;
    network.reset_open_connections();
    network.make(Network::Good);
    // Chromium may send it again by itself.
    browser
        .until_text("#the_notice", |text| {
            text.contains("does not answer") || text.contains("is in")
        })
        .await;
    browser.click("#b").await;
    browser
        .until_text("#the_notice", |text| text.contains("for Dogs is in"))
        .await;
    until_votes(&app.result, &[0, 1]).await;
    browser.close().await;
    app.stop().await;
}
