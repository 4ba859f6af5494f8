//! The services behave as their OpenAPI documents describe.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};
use web::ProblemKind;

use crate::harness::{
    app::App,
    document::{Document, essence},
    eventually,
    storage::{Backend, Storage, on_both_storages},
    viewer::{get, get_json, wait_for_votes, wait_until_complete},
    voter::{Voter, client},
};

on_both_storages! {
    every_operation_responds_as_documented,
    invalid_requests_get_the_documented_problems,
    votes_outside_the_voting_period_get_the_documented_problems,
    a_matching_etag_gets_304,
    head_responds_like_get_without_a_body,
}

fn send(service: &str, method: &Method, path: &str) -> RequestBuilder {
    client().request(method.clone(), format!("{service}{path}"))
}

/// A valid request for each operation of the two services.
fn valid_request(service: &str, method: &Method, path: &str) -> RequestBuilder {
    let request = send(service, method, path);
    match (method, path) {
        (&Method::POST, "/") => request.form(&[("vote", "a")]),
        (&Method::POST, "/api/votes") => request.json(&json!({"choice": "b"})),
        (&Method::GET, _) => request,
        _ => panic!("this test has no request for {method} {path}"),
    }
}

async fn every_operation_responds_as_documented(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_until_complete(&app.result).await;
    let probes = ["GET /health", "GET /metrics", "GET /ready"];
    for (service, own) in [
        (
            &app.vote,
            &[
                "GET /",
                "GET /api/openapi.json",
                "GET /api/poll",
                "POST /",
                "POST /api/votes",
            ][..],
        ),
        (
            &app.result,
            &[
                "GET /",
                "GET /api/openapi.json",
                "GET /api/tally",
                "GET /api/tally.csv",
                "GET /api/timeline",
                "GET /embed",
                "GET /timeline",
                "GET /events",
            ],
        ),
    ] {
        let ready = async || get(&format!("{service}/ready")).await.status();
        eventually("/ready", |status| *status == StatusCode::OK, ready).await;
        let document = Document::of(service).await;
        let documented: BTreeSet<_> = document
            .operations()
            .iter()
            .map(|(method, path, _)| format!("{method} {path}"))
            .collect();
        let license = &document.0["info"]["license"];
        assert_eq!(license["identifier"], "MIT OR Apache-2.0");
        assert_eq!(
            documented,
            own.iter()
                .chain(&probes)
                .map(|name| (*name).to_owned())
                .collect()
        );
        let ids: BTreeSet<_> = document
            .operations()
            .iter()
            .map(|(.., operation)| operation["operationId"].to_string())
            .collect();
        assert_eq!(
            ids.len(),
            documented.len(),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_lists_the_options_of_the_poll() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(
        &storage,
        &["--poll-options", "tea=Tea,coffee=Coffee,none=-"],
    )
    .await;
    for service in [&app.vote, &app.result] {
        let Document(document) = Document::of(service).await;
        assert_eq!(
            document["components"]["schemas"]["Choice"]["enum"],
            json!(["tea", "coffee", "none"])
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_url_of_the_document_resolves_to_the_service_root() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    for service in [&app.vote, &app.result] {
        let Document(document) = Document::of(service).await;
        let server = document["servers"][0]["url"].as_str().unwrap();
        // Clients resolve the server URL against the URL of the document.
        let root = |document: &str| Url::parse(document).unwrap().join(server).unwrap();
        assert_eq!(
            root(&format!("{service}/api/openapi.json")).as_str(),
            format!("{service}/")
        );
        assert_eq!(
            root("https://example.org/deep/path/api/openapi.json").as_str(),
            "https://example.org/deep/path/"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_voter_cookie_is_an_optional_security_scheme() {
    for flags in [&["--public-https", "false"], &["--public-https", "true"]] {
        let storage = Storage::new(Backend::Embedded).await.unwrap();
        let app = App::start(&storage, flags).await;
        let Document(document) = Document::of(&app.vote).await;
        let response = valid_request(&app.vote, &Method::POST, "/api/votes")
            .send()
            .await;
        let response = response.unwrap();
        let set = response.headers()["set-cookie"].to_str().unwrap();
        let scheme = &document["components"]["securitySchemes"]["voter"];
        assert_eq!(
            (&scheme["type"], &scheme["in"]),
            (&json!("apiKey"), &json!("cookie"))
        );
        assert_eq!(scheme["name"], set.split('=').next().unwrap(), "{set}");
        assert_eq!(document["security"], json!([]));
        for (path, method) in [("/", "get"), ("/", "post"), ("/api/votes", "post")] {
            let security = &document["paths"][path][method]["security"];
            assert_eq!(security, &json!([{}, {"voter": []}]), "{method} {path}");
        }
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exceeding_the_rate_limit_is_a_documented_problem() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &["--votes-per-minute", "1", "--votes-burst", "1"]).await;
    let vote = || valid_request(&app.vote, &Method::POST, "/api/votes");
    assert_eq!(vote().send().await.unwrap().status(), StatusCode::ACCEPTED);
    let document = Document::of(&app.vote).await;
    let kind = ProblemKind::RateLimited;
    assert_problem(kind, &document, Method::POST, "/api/votes", vote()).await;
    app.stop().await;
}

/// Sends the request and checks that the response is a documented problem of this kind.
async fn assert_problem(
    kind: ProblemKind,
    document: &Document,
    method: Method,
    path: &str,
    request: RequestBuilder,
) {
    let response = request.send().await.unwrap();
    assert_eq!(
        response.status(),
        kind.status(),
        "{kind:?}: {method} {path}"
    );
    let headers = response.headers().clone();
    assert_eq!(essence(&headers), "application/problem+json", "{kind:?}");
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["type"], kind.uri());
    document.check_schema("Problem", &problem);
    let status = kind.status();
    assert_eq!(
        headers.contains_key("retry-after"),
        kind.has_retry_after(),
        "{kind:?}"
    );
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert!(
        detail.starts_with(char::is_uppercase) && detail.ends_with('.'),
        "{kind:?}: {detail}"
    );
    assert_eq!(
        headers.contains_key("allow"),
        status == StatusCode::METHOD_NOT_ALLOWED,
        "{kind:?}"
    );
    let responses = match kind {
        ProblemKind::NotFound => &document.0["components"]["responses"]["NotFound"],
        ProblemKind::MethodNotAllowed => &document.0["components"]["responses"]["MethodNotAllowed"],
        _ => &document.operation(&method, path)["responses"][status.as_str()],
    };
    let name = kind.uri().trim_start_matches("/problems/");
    let example = &responses["content"]["application/problem+json"]["examples"][name]["value"];
    assert_eq!(
        example["type"],
        kind.uri(),
        "{kind:?} is not documented at {method} {path}"
    );
    document.check_schema("Problem", example);
}

async fn invalid_requests_get_the_documented_problems(storage: Storage) {
    let app = App::start(
        &storage,
        &[
            "--poll-closes-at",
            "2126-01-01T00:00:00Z",
            "--poll-results",
            "after-close",
            "--public-origins",
            "https://poll.example.org",
        ],
    )
    .await;
    until_hidden(&app.result).await;
    let vote = Document::of(&app.vote).await;
    let post =
        || send(&app.vote, &Method::POST, "/api/votes").header("content-type", "application/json");
    let valid = r#"{"choice": "a"}"#;
    let long = "x".repeat(5000);
    for (kind, request) in [
        (ProblemKind::MalformedRequest, post().body("{")),
        (
            ProblemKind::UnknownHost,
            post().header("host", "evil.example").body(valid),
        ),
        (
            ProblemKind::UnknownChoice,
            post().body(r#"{"choice": "c"}"#),
        ),
        (ProblemKind::RequestTooLarge, post().body(long)),
        (
            ProblemKind::CrossSiteRequest,
            post().body(valid).header("sec-fetch-site", "cross-site"),
        ),
        (
            ProblemKind::UnsupportedContentType,
            send(&app.vote, &Method::POST, "/api/votes").body(valid),
        ),
    ] {
        assert_problem(kind, &vote, Method::POST, "/api/votes", request).await;
    }
    let result = Document::of(&app.result).await;
    for (document, service) in [(&vote, &app.vote), (&result, &app.result)] {
        let unknown_path = send(service, &Method::GET, "/api/nowhere");
        assert_problem(
            ProblemKind::NotFound,
            document,
            Method::GET,
            "/api/nowhere",
            unknown_path,
        )
        .await;
        for (method, path) in [
            (Method::DELETE, "/health"),
            (Method::TRACE, "/"),
            (Method::PUT, "/ready"),
            (Method::from_bytes(b"foo").unwrap(), "/"),
        ] {
            let request = send(service, &method, path);
            assert_problem(
                ProblemKind::MethodNotAllowed,
                document,
                method,
                path,
                request,
            )
            .await;
        }
    }
    for path in ["/api/tally.csv", "/api/timeline"] {
        let request = send(&app.result, &Method::GET, path);
        assert_problem(
            ProblemKind::ResultHidden,
            &result,
            Method::GET,
            path,
            request,
        )
        .await;
    }
    let tally = send(&app.result, &Method::GET, "/api/tally")
        .send()
        .await
        .unwrap();
    result
        .check_response(&Method::GET, "/api/tally", tally)
        .await;
    app.stop().await;
}

async fn votes_outside_the_voting_period_get_the_documented_problems(storage: Storage) {
    let when = |flag: &'static str, time: &'static str| [flag, time];
    for (flags, kind) in [
        (
            when("--poll-opens-at", "2126-01-01T00:00:00Z"),
            ProblemKind::PollNotOpenYet,
        ),
        (
            when("--poll-closes-at", "2026-01-01T00:00:00Z"),
            ProblemKind::PollClosed,
        ),
    ] {
        let app = App::start(&storage, &flags).await;
        let document = Document::of(&app.vote).await;
        let request = send(&app.vote, &Method::POST, "/api/votes").json(&json!({"choice": "a"}));
        assert_problem(kind, &document, Method::POST, "/api/votes", request).await;
        let poll = send(&app.vote, &Method::GET, "/api/poll")
            .send()
            .await
            .unwrap();
        document
            .check_response(&Method::GET, "/api/poll", poll)
            .await;
        let page = send(&app.vote, &Method::POST, "/")
            .form(&[("vote", "a")])
            .send()
            .await
            .unwrap();
        assert_eq!(page.status(), kind.status());
        document.check_response(&Method::POST, "/", page).await;
        app.stop().await;
    }
}

async fn until_hidden(result: &str) {
    let csv = async || get(&format!("{result}/api/tally.csv")).await.status();
    eventually(
        "a hidden result",
        |status| *status == StatusCode::FORBIDDEN,
        csv,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_dependency_is_a_documented_problem() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    // No server listens at these addresses.
    let unreachable = [
        "--queue-url",
        "redis://127.0.0.1:1",
        "--database-url",
        "postgres://127.0.0.1:1/none",
        "--enqueue-timeout",
        "200ms",
    ];
    let app = App::start(&storage, &unreachable).await;
    let vote = Document::of(&app.vote).await;
    let request = send(&app.vote, &Method::POST, "/api/votes").json(&json!({"choice": "a"}));
    assert_problem(
        ProblemKind::QueueUnavailable,
        &vote,
        Method::POST,
        "/api/votes",
        request,
    )
    .await;
    let result = Document::of(&app.result).await;
    for path in ["/api/tally", "/api/tally.csv", "/api/timeline"] {
        let request = send(&app.result, &Method::GET, path);
        assert_problem(
            ProblemKind::ResultUnavailable,
            &result,
            Method::GET,
            path,
            request,
        )
        .await;
    }
    for (document, service, path) in [
        (&vote, &app.vote, "/ready"),
        (&result, &app.result, "/ready"),
        (&result, &app.result, "/"),
    ] {
        let response = get(&format!("{service}{path}")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        document.check_response(&Method::GET, path, response).await;
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
        for known in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
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
