//! Both pages under path prefixes of one site. A proxy that strips the prefix needs no settings; for a proxy that keeps it,
//! the services have a setting.

use reqwest::{StatusCode, Url, redirect::Policy};

use super::{
    embedded,
    servers::{Configuration, HOST, Proxy, Software},
    visitor::Visitor,
};
use crate::harness::{app::App, eventually, skip::or_skip, viewer::wait_for_votes, voter::client};

const SOFTWARE: [Software; 4] = [
    Software::Nginx,
    Software::Apache,
    Software::Haproxy,
    Software::Caddy,
];
const BASE_PATHS: [&str; 4] = ["--vote-base-path", "/vote", "--result-base-path", "/result"];

/// The URLs that a page refers to, resolved as a browser does.
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
        (Configuration::PathKept, &BASE_PATHS),
    ] {
        let storage = embedded().await;
        let app = App::start(&storage, flags).await;
        let probe = format!("{}/ready", app.vote);
        let root_probe = async || client().get(&probe).send().await.unwrap().status();
        eventually(
            "a probe at the root",
            |status| *status == StatusCode::OK,
            root_probe,
        )
        .await;
        let result_base = match configuration {
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
            let status = async || {
                let mut visitor = Visitor::new(proxy.port);
                visitor.page = root.join("/vote/").unwrap();
                visitor.load().await.status
            };
            eventually(
                "a proxy that forwards requests",
                |status| *status == StatusCode::OK,
                status,
            )
            .await;

            let page = voter.load().await.html;
            let browser = reqwest::Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .resolve(HOST, ([127, 0, 0, 1], proxy.port).into())
                .build()
                .unwrap();
            let result = root.join("/result/").unwrap();
            let result_page = browser.get(result.clone()).send().await.unwrap();
            let result_page = result_page.text().await.unwrap();
            let mut urls = references(&voter.page, &page);
            urls.extend(references(&result, &result_page));
            assert!(urls.len() > 10, "{what}: {urls:?}");
            for url in urls {
                let status = browser.get(url.clone()).send().await.unwrap().status();
                assert_eq!(status, StatusCode::OK, "{what}: {url}");
            }

            for (choice, label) in [("a", "Cats"), ("b", "Dogs")] {
                let seen = voter.vote_without_script(choice).await;
                let notice = format!("Your vote for {label} is in.");
                assert!(seen.html.contains(&notice), "{what}: {}", seen.html);
            }
            voters += 1;
            wait_for_votes(&result_base, &[0, voters]).await;

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
