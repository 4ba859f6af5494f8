//! Successful responses.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};

use super::{send, valid_request};
use crate::harness::{
    app::App,
    document::Document,
    eventually,
    storage::{Storage, on_both_storages},
    viewer::{get, get_json, wait_for_votes, wait_until_complete},
    voter::Voter,
};

on_both_storages! {
    every_operation_responds_as_documented,
    a_matching_etag_gets_304,
    head_responds_like_get_without_a_body,
}

async fn every_operation_responds_as_documented(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_until_complete(&app.result).await;
    for service in [&app.vote, &app.result] {
        let ready = async || get(&format!("{service}/ready")).await.status();
        eventually("/ready", |status| *status == StatusCode::OK, ready).await;
        let document = Document::of(service).await;
        let ids: BTreeSet<_> = document
            .operations()
            .iter()
            .map(|(.., operation)| operation["operationId"].to_string())
            .collect();
        assert_eq!(
            ids.len(),
            document.operations().len(),
            "operation ids are unique: {ids:?}"
        );
        for (method, path, operation) in document.operations() {
            for part in ["summary", "tags", "operationId"] {
                assert!(!operation[part].is_null(), "{method} {path} has no {part}");
            }
            // The event stream never ends; `api_guide` tests it.
            if path != "/events" {
                let response = valid_request(service, &method, path).send().await.unwrap();
                assert!(
                    response.status().is_success(),
                    "{method} {path} → {}",
                    response.status()
                );
                document.check_response(&method, path, response).await;
            }
        }
    }
    wait_for_votes(&app.result, &[1, 1]).await;
    let document = Document::of(&app.result).await;
    for path in ["/api/tally", "/api/timeline"] {
        let response = send(&app.result, &Method::GET, path).send().await.unwrap();
        document.check_response(&Method::GET, path, response).await;
    }
    let (_, tally) = get_json(&format!("{}/api/tally", app.result)).await;
    for name in ["as_of", "last_vote_at"] {
        let time = tally[name].as_str().unwrap_or_default();
        // Such as 2026-11-23T20:15:31.214Z.
        assert!(
            time.len() <= 24,
            "{name} is finer than milliseconds: {time}"
        );
    }
    app.stop().await;
}

async fn a_matching_etag_gets_304(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_until_complete(&app.result).await;
    for (service, path) in [
        (&app.vote, "/api/openapi.json"),
        (&app.result, "/api/openapi.json"),
        (&app.result, "/api/tally"),
        (&app.result, "/api/tally.csv"),
        (&app.result, "/api/timeline"),
    ] {
        let document = Document::of(service).await;
        let first = get(&format!("{service}{path}")).await;
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(first.headers()["cache-control"], "no-cache");
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            let again = send(service, &Method::GET, path).header("if-none-match", &known);
            let again = again.send().await.unwrap();
            assert_eq!(
                again.status(),
                StatusCode::NOT_MODIFIED,
                "{path} with {known}"
            );
            assert_eq!(again.headers()["etag"], *tag);
            document.check_response(&Method::GET, path, again).await;
        }
        let other = send(service, &Method::GET, path).header("if-none-match", "\"other\"");
        assert_eq!(
            other.send().await.unwrap().status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let before = get(&format!("{}/api/tally", app.result)).await.headers()["etag"].clone();
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    let changed = send(&app.result, &Method::GET, "/api/tally").header("if-none-match", before);
    assert_eq!(changed.send().await.unwrap().status(), StatusCode::OK);
    app.stop().await;
}

async fn head_responds_like_get_without_a_body(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_until_complete(&app.result).await;
    for (service, path) in [
        (&app.vote, "/"),
        (&app.vote, "/api/poll"),
        (&app.vote, "/api/openapi.json"),
        (&app.result, "/"),
        (&app.result, "/api/tally"),
        (&app.result, "/api/tally.csv"),
    ] {
        let get = get(&format!("{service}{path}")).await;
        let head = send(service, &Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), get.status(), "{path}");
        for name in ["content-type", "content-length", "cache-control", "etag"] {
            assert_eq!(
                head.headers().get(name),
                get.headers().get(name),
                "{path} {name}"
            );
        }
        assert_eq!(head.text().await.unwrap(), "");
    }
    app.stop().await;
}
