//! Invalid votes are rejected with a readable 4xx, and nothing is queued.

use reqwest::StatusCode;

use crate::harness::{
    app::App,
    raw::RawClient,
    storage::{Storage, on_both_storages},
    viewer::wait_for_votes,
    voter::{Page, Voter, client},
};

on_both_storages! {
    invalid_forms_are_rejected,
    invalid_documents_are_rejected,
    multipart_forms_are_accepted,
    oversized_bodies_and_wrong_types_are_rejected,
    forged_cookies_count_as_new_voters,
    cross_site_votes_are_rejected,
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn invalid_forms_are_rejected(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let voter = Voter::new(&app.vote);
    let long = format!("vote={}", "a".repeat(300));
    let cases: [(&str, Vec<u8>, StatusCode, &str); 13] = [
        (FORM, b"".into(), StatusCode::BAD_REQUEST, "missing"),
        (FORM, b"other=a".into(), StatusCode::BAD_REQUEST, "missing"),
        (
            FORM,
            b"vote=".into(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "choices are: a, b",
        ),
        (
            FORM,
            b"vote=c".into(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "choices are: a, b",
        ),
        (
            FORM,
            b"vote=A".into(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "choices are: a, b",
        ),
        (
            FORM,
            long.into(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "choices are: a, b",
        ),
        (
            FORM,
            b"vote=a%00".into(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "choices are: a, b",
        ),
        (
            FORM,
            b"vote=%zz".into(),
            StatusCode::BAD_REQUEST,
            "percent-encoding",
        ),
        (
            FORM,
            b"vote=%ff".into(),
            StatusCode::BAD_REQUEST,
            "not UTF-8",
        ),
        (
            FORM,
            b"vote=\xff".into(),
            StatusCode::BAD_REQUEST,
            "not UTF-8",
        ),
        (
            FORM,
            b"vote=a&vote=b".into(),
            StatusCode::BAD_REQUEST,
            "twice",
        ),
        (
            "text/plain",
            b"vote=a".into(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FORM,
        ),
        (
            FORM,
            [b"vote=a&x=", &vec![b'x'; 4096][..]].concat(),
            StatusCode::PAYLOAD_TOO_LARGE,
            "4096 bytes",
        ),
    ];
    for (content_type, body, status, reason) in cases {
        let what = String::from_utf8_lossy(&body).into_owned();
        let page = voter.post(content_type, body).await;
        assert_eq!(page.status, status, "{what}");
        assert!(
            page.html.contains("NOT counted") && page.html.contains(reason),
            "{what}: {}",
            page.html
        );
        assert!(
            page.html.contains("<form method=\"post\""),
            "the page has the form: {}",
            page.html
        );
        assert_eq!(page.selected_options(), [""; 0]);
    }
    assert_nothing_was_queued(&storage).await;
    app.stop().await;
}

async fn invalid_documents_are_rejected(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let voter = Voter::new(&app.vote);
    let cases = [
        ("", "malformed-request", "its body is empty"),
        ("{", "malformed-request", "ends in the middle"),
        (
            "choice=a",
            "malformed-request",
            "is not JSON at line 1, column 1",
        ),
        (
            "{}",
            "malformed-request",
            "the field \"choice\" is missing; send {\"choice\": KEY}",
        ),
        ("[]", "malformed-request", "is an array, not an object"),
        (
            r#"["a"]"#,
            "malformed-request",
            "is an array, not an object",
        ),
        (
            r#"[{"choice": "a"}]"#,
            "malformed-request",
            "is an array, not an object",
        ),
        (r#""a""#, "malformed-request", "is a string, not an object"),
        ("null", "malformed-request", "is null, not an object"),
        (
            r#"{"choice": 1}"#,
            "malformed-request",
            "is a number, not a string",
        ),
        (
            r#"{"choice": ["a"]}"#,
            "malformed-request",
            "is an array, not a string",
        ),
        (
            r#"{"choice": "a", "voter": "me"}"#,
            "malformed-request",
            "the field \"voter\" is unknown",
        ),
        (
            r#"{"choice": "a", "choice": "b"}"#,
            "malformed-request",
            "occurs twice",
        ),
        (
            r#"{"choice": "a"} {}"#,
            "malformed-request",
            "continues after the JSON value",
        ),
        (
            r#"{"choice": ""}"#,
            "unknown-choice",
            "the choices are: a, b.",
        ),
        (
            r#"{"choice": "a\u0000"}"#,
            "unknown-choice",
            "The poll has no choice",
        ),
    ];
    for (body, kind, reason) in cases {
        let (actual_status, problem) = voter.api_vote(body).await;
        let status = match kind {
            "unknown-choice" => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        assert_eq!(
            (actual_status, problem["status"].as_u64()),
            (status, Some(status.as_u16().into())),
            "{body}"
        );
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{body}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(reason), "{body}: {detail}");
        for word in ["struct", "VoteDocument", "expected", "EOF"] {
            assert!(!detail.contains(word), "{body}: {detail}");
        }
    }
    assert_nothing_was_queued(&storage).await;
    app.stop().await;
}

async fn oversized_bodies_and_wrong_types_are_rejected(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let voter = Voter::new(&app.vote);
    let (status, _) = voter
        .api_vote(format!("{{\"choice\": \"{}\"}}", "a".repeat(5000)))
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let wrong_type = client()
        .post(format!("{}/api/votes", app.vote))
        .body(r#"{"choice":"a"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(wrong_type.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        wrong_type.headers()["content-type"],
        "application/problem+json"
    );
    assert_nothing_was_queued(&storage).await;
    app.stop().await;
}

/// `curl -F vote=a` sends a multipart form.
async fn multipart_forms_are_accepted(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let part = |name: &str, value: &str| {
        format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let cases = [
        (part("other", "a"), StatusCode::BAD_REQUEST, "missing"),
        (
            part("vote", "a").repeat(2),
            StatusCode::BAD_REQUEST,
            "twice",
        ),
        (
            part("vote", "c"),
            StatusCode::UNPROCESSABLE_ENTITY,
            "choices are: a, b",
        ),
        (
            part("vote", &"a".repeat(4096)),
            StatusCode::PAYLOAD_TOO_LARGE,
            "4096 bytes",
        ),
        (part("vote", "b"), StatusCode::OK, "<bdi>Dogs</bdi> is in"),
    ];
    let voter = Voter::new(&app.vote);
    for (parts, status, expected) in cases {
        let body = format!("{parts}--x--\r\n");
        let page = voter.post("multipart/form-data; boundary=x", body).await;
        assert_eq!(page.status, status, "{parts}");
        assert!(page.html.contains(expected), "{parts}: {}", page.html);
    }
    wait_for_votes(&app.result, &[0, 1]).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_needs_exactly_one_host() {
    let storage = Storage::new(crate::harness::storage::Backend::Embedded)
        .await
        .unwrap();
    let app = App::start(&storage, &[]).await;
    for url in [&app.vote, &app.result, &app.worker] {
        for (version, hosts, expected) in [
            ("1.1", "", 400),
            ("1.1", "host: a\r\nhost: b\r\n", 400),
            ("1.1", "host: a\r\nhost: a\r\n", 400),
            ("1.0", "host: a\r\nhost: b\r\n", 400),
            ("1.1", "host: a\r\n", 200),
            ("1.0", "", 200),
        ] {
            let request = format!("GET /health HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
            let response = RawClient::exchange(url, request.as_bytes()).await;
            let status = response.split(' ').nth(1).unwrap_or_default();
            assert_eq!(status, expected.to_string(), "{request}: {response}");
        }
    }
    app.stop().await;
}

async fn assert_nothing_was_queued(storage: &Storage) {
    let store = storage.store().await;
    let backlog = storage
        .queue()
        .await
        .consumer("observer")
        .trim()
        .await
        .unwrap();
    assert_eq!((backlog.pending, backlog.lag), (0, 0));
    assert_eq!(storage.count_votes().await, []);
    assert_eq!(store.dead_letters().await.unwrap(), []);
}

async fn forged_cookies_count_as_new_voters(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    // The id of a voter has become known, for example from a backup of the votes table.
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    let voter_id = storage.rows("SELECT id, cast_ms FROM votes").await[0]
        .0
        .clone();
    // The name of the cookie is public.
    let response = client().get(&app.vote).send().await.unwrap();
    let set = response.headers()["set-cookie"].to_str().unwrap();
    let name = set.split('=').next().unwrap();
    for (round, cookie) in [
        format!("{name}={voter_id}"),
        format!("voter_id={voter_id}.a"),
        format!("{name}=AQ{}", "A".repeat(100)),
    ]
    .into_iter()
    .enumerate()
    {
        let forged: Page = vote_with_cookie(&app.vote, &cookie).await;
        assert_eq!(
            forged.status,
            StatusCode::OK,
            "a forged cookie is a new voter"
        );
        wait_for_votes(&app.result, &[1, round as u64 + 1]).await;
    }
    app.stop().await;
}

/// Votes with this cookie.
async fn vote_with_cookie(vote: &str, cookie: &str) -> Page {
    let request = client()
        .post(vote)
        .header("cookie", cookie)
        .header("content-type", FORM)
        .body("vote=b");
    let response = request.send().await.unwrap();
    Page {
        status: response.status(),
        html: response.text().await.unwrap(),
        retry_after: None,
    }
}

async fn cross_site_votes_are_rejected(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let (form, document) = (app.vote.clone(), format!("{}/api/votes", app.vote));
    for (url, content_type, body) in [
        (form, FORM, "vote=a"),
        (document, "application/json", r#"{"choice":"a"}"#),
    ] {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "http://evil.example"),
        ] {
            let request = client()
                .post(&url)
                .header("content-type", content_type)
                .header(name, value)
                .body(body);
            let response = request.send().await.unwrap();
            assert_eq!(
                response.status(),
                StatusCode::FORBIDDEN,
                "{url} with {name}: {value}"
            );
            assert!(!response.headers().contains_key("set-cookie"));
            assert!(response.text().await.unwrap().contains("another site"));
        }
    }
    assert_nothing_was_queued(&storage).await;
    let same_origin = client()
        .post(&app.vote)
        .header("origin", &app.vote)
        .header("content-type", FORM)
        .body("vote=a");
    assert_eq!(same_origin.send().await.unwrap().status(), StatusCode::OK);
    app.stop().await;
}
