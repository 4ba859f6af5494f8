//! Both pages below paths of one site: where the proxy removes the path there is nothing to set, where it passes it on the
//! services know it.

use reqwest::{StatusCode, Url, redirect::Policy};

use super::{
    embedded,
    servers::{Configuration, HOST, Proxy, Software},
    visitor::Visitor,
};
use crate::harness::{app::App, eventually, skip::or_skip, viewer::until_votes, voter::client};

const SOFTWARE: [Software; 4] = [
    Software::Nginx,
    Software::Apache,
    Software::Haproxy,
    Software::Caddy,
];
const KEPT: [&str; 4] = ["--vote-base-path", "/vote", "--result-base-path", "/result"];

/// The references of a page, as a browser reads them.
fn references(page: &Url, html: &str) -> Vec<Url> {
    ["href=\"", "src=\"", "action=\""]
        .into_iter()
        .flat_map(|attribute| html.split(attribute).skip(1))
        .filter_map(|rest| page.join(rest.split('"').next()?).ok())
        .filter(|url| url.host_str() == page.host_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_pages_work_under_path_prefixes() {
    for (configuration, flags) in [
        (Configuration::PathRemoved, &[][..]),
        (Configuration::PathKept, &KEPT),
    ] {
        let storage = embedded().await;
        let app = App::start(&storage, flags).await;
        let probe = format!("{}/ready", app.vote);
        let at_the_root = async || client().get(&probe).send().await.unwrap().status();
        eventually(
            "a probe at the root",
            |status| *status == StatusCode::OK,
            at_the_root,
        )
        .await;
        let counted = match configuration {
            Configuration::PathKept => format!("{}/result", app.result),
            _ => app.result.clone(),
        };
        let mut voters = 0;
        for software in SOFTWARE {
            let what = format!("{software}, {configuration:?}");
            let proxy = or_skip!(Proxy::start(
                software,
                configuration,
                &app.vote,
                &app.result
            ));
            let mut voter = Visitor::new(proxy.port);
            let root = voter.page.clone();
            voter.page = root.join("/vote/").unwrap();
            let look = async || {
                let mut visitor = Visitor::new(proxy.port);
                visitor.page = root.join("/vote/").unwrap();
                visitor.look().await.status
            };
            eventually("an open proxy", |status| *status == StatusCode::OK, look).await;

            let page = voter.look().await.html;
            let browser = reqwest::Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .resolve(HOST, ([127, 0, 0, 1], proxy.port).into())
                .build()
                .unwrap();
            let result = root.join("/result/").unwrap();
            let shown = browser.get(result.clone()).send().await.unwrap();
            let shown = shown.text().await.unwrap();
            let mut referred = references(&voter.page, &page);
            referred.extend(references(&result, &shown));
            assert!(referred.len() > 10, "{what}: {referred:?}");
            for url in referred {
                let status = browser.get(url.clone()).send().await.unwrap().status();
                assert_eq!(status, StatusCode::OK, "{what}: {url}");
            }

            for (choice, label) in [("a", "Cats"), ("b", "Dogs")] {
                let seen = voter.vote_without_script(choice).await;
                let said = format!("Your vote for {label} is in.");
                assert!(seen.html.contains(&said), "{what}: {}", seen.html);
            }
            voters += 1;
            until_votes(&counted, &[0, voters]).await;

            let document = root.join("/vote/api/openapi.json").unwrap();
            let described = browser.get(document.clone()).send().await.unwrap();
            let described: serde_json::Value = described.json().await.unwrap();
            let server = described["servers"][0]["url"].as_str().unwrap();
            let server = document.join(server).unwrap();
            assert_eq!(server.path().trim_end_matches('/'), "/vote", "{what}");

            let missing = browser.get(root.join("/vote/a/b/c").unwrap());
            let missing = missing.header("accept", "text/html").send().await.unwrap();
            assert_eq!(missing.status(), StatusCode::NOT_FOUND, "{what}");
            let at = missing.url().clone();
            let missing = missing.text().await.unwrap();
            let back = references(&at, &missing);
            assert_eq!(back, [root.join("/vote/").unwrap()], "{what}: {missing}");

            let events = browser.get(root.join("/result/events").unwrap());
            let mut events = events.send().await.unwrap();
            let first = events.chunk().await.unwrap().unwrap_or_default();
            let first = String::from_utf8_lossy(&first).into_owned();
            assert!(first.starts_with("retry: "), "{what}: {first}");

            let vote = browser.post(root.join("/vote/").unwrap());
            let cookie = vote.form(&[("vote", "b")]).send().await.unwrap();
            let cookie = cookie.headers()["set-cookie"].to_str().unwrap().to_owned();
            let path = match configuration {
                Configuration::PathKept => "; Path=/vote",
                _ => "; Path=/",
            };
            assert!(cookie.ends_with(path), "{what}: {cookie}");
            voters += 1;

            if configuration == Configuration::PathKept {
                let slash = browser.get(root.join("/vote").unwrap());
                let slash = slash.send().await.unwrap();
                assert_eq!(slash.headers()["location"], "vote/", "{what}");
            }
        }
        app.stop().await;
    }
}
