//! What is no vote is refused with a readable 4xx, and nothing is queued.

use reqwest::StatusCode;

use crate::harness::{
    app::App,
    storage::{Storage, on_both_storages},
    viewer::until_votes,
    voter::{Page, Voter, client},
};

on_both_storages! {
    bad_forms_are_refused,
    bad_documents_are_refused,
    nobody_votes_as_somebody_else,
    another_site_cannot_make_its_visitors_vote,
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn bad_forms_are_refused(storage: Storage) {
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
            "there is a way back: {}",
            page.html
        );
        assert_eq!(page.chosen(), [""; 0]);
    }
    assert_nothing_was_queued(&storage).await;
    app.stop().await;
}

async fn bad_documents_are_refused(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let voter = Voter::new(&app.vote);
    let cases = [
        ("", StatusCode::BAD_REQUEST, "malformed-request"),
        ("{", StatusCode::BAD_REQUEST, "malformed-request"),
        ("{}", StatusCode::BAD_REQUEST, "malformed-request"),
        ("[]", StatusCode::BAD_REQUEST, "malformed-request"),
        (
            r#"{"choice": 1}"#,
            StatusCode::BAD_REQUEST,
            "malformed-request",
        ),
        (
            r#"{"choice": "a", "voter": "me"}"#,
            StatusCode::BAD_REQUEST,
            "malformed-request",
        ),
        (
            r#"{"choice": "a"} {}"#,
            StatusCode::BAD_REQUEST,
            "malformed-request",
        ),
        (
            r#"{"choice": ""}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown-choice",
        ),
        (
            r#"{"choice": "a\u0000"}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
            "unknown-choice",
        ),
    ];
    for (body, status, kind) in cases {
        let (answered, problem) = voter.api_vote(body).await;
        assert_eq!(
            (answered, problem["status"].as_u64()),
            (status, Some(status.as_u16().into())),
            "{body}"
        );
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{body}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{problem}"
        );
    }
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

async fn assert_nothing_was_queued(storage: &Storage) {
    let store = storage.store().await;
    let backlog = storage
        .queue()
        .await
        .consumer("looks")
        .trim()
        .await
        .unwrap();
    assert_eq!((backlog.pending, backlog.undelivered), (0, 0));
    assert_eq!(storage.counted().await, []);
    assert_eq!(store.dead_letters().await.unwrap(), []);
}

async fn nobody_votes_as_somebody_else(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    // A victim whose id has become known, for example from a backup of the votes table.
    Voter::new(&app.vote).must_vote_for("a").await;
    until_votes(&app.result, &[1, 0]).await;
    let victim = storage.rows("SELECT id, cast_ms FROM votes").await[0]
        .0
        .clone();
    for (round, cookie) in [
        format!("voter_id={victim}"),
        format!("voter_id={victim}.a"),
        format!("voter_id={}{victim}.a", "A".repeat(44)),
    ]
    .into_iter()
    .enumerate()
    {
        let forged: Page = forge(&app.vote, &cookie).await;
        assert_eq!(forged.status, StatusCode::OK, "they are a new voter");
        until_votes(&app.result, &[1, round as u64 + 1]).await;
    }
    app.stop().await;
}

async fn forge(vote: &str, cookie: &str) -> Page {
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

async fn another_site_cannot_make_its_visitors_vote(storage: Storage) {
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
            let answer = request.send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::FORBIDDEN,
                "{url} with {name}: {value}"
            );
            assert!(answer.text().await.unwrap().contains("another site"));
        }
    }
    assert_nothing_was_queued(&storage).await;
    let own = client()
        .post(&app.vote)
        .header("origin", &app.vote)
        .header("content-type", FORM)
        .body("vote=a");
    assert_eq!(own.send().await.unwrap().status(), StatusCode::OK);
    app.stop().await;
}
