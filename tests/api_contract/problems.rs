//! Rejected requests: every kind of problem is documented where it occurs.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use web::ProblemKind;

use super::{send, valid_request};
use crate::harness::{
    app::App,
    document::{Document, essence},
    eventually,
    storage::{Backend, Storage, on_both_storages},
    viewer::get,
};

on_both_storages! {
    invalid_requests_get_the_documented_problems,
    votes_outside_the_voting_period_get_the_documented_problems,
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
