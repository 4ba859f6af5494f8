//! Security headers, and readable errors for unknown paths.

use reqwest::{Method, Response, StatusCode};

use crate::harness::{
    app::App,
    storage::{Storage, on_both_storages},
    viewer::wait_for_votes,
    voter::client,
};

on_both_storages! {
    every_response_carries_the_security_headers,
    hsts_is_sent_only_with_public_https,
    unknown_paths_and_methods_get_readable_errors,
}

async fn send(method: Method, url: &str) -> Response {
    client().request(method, url).send().await.unwrap()
}

async fn every_response_carries_the_security_headers(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    for (method, url) in [
        (Method::GET, format!("{}/", app.vote)),
        (Method::POST, format!("{}/", app.vote)),
        (Method::DELETE, format!("{}/", app.vote)),
        (Method::GET, format!("{}/api/poll", app.vote)),
        (Method::GET, format!("{}/nowhere", app.vote)),
        (Method::GET, format!("{}/", app.result)),
        (Method::GET, format!("{}/api/tally", app.result)),
        (Method::GET, format!("{}/ready", app.worker)),
    ] {
        let response = send(method.clone(), &url).await;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let policy = header("content-security-policy");
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(directive), "{method} {url}: {policy}");
        }
        assert_eq!(
            header("x-content-type-options"),
            "nosniff",
            "{method} {url}"
        );
        assert_eq!(header("referrer-policy"), "same-origin", "{method} {url}");
        assert_eq!(
            header("cross-origin-resource-policy"),
            "same-origin",
            "{method} {url}"
        );
        // Over plain HTTP, browsers ignore this header and log an error in the console.
        assert_eq!(header("cross-origin-opener-policy"), "", "{method} {url}");
        assert_eq!(header("strict-transport-security"), "", "{method} {url}");
    }
    app.stop().await;
}

async fn hsts_is_sent_only_with_public_https(storage: Storage) {
    let app = App::start(&storage, &["--public-https", "true"]).await;
    for url in [&app.vote, &app.result] {
        let response = send(Method::GET, url).await;
        assert_eq!(
            response.headers()["strict-transport-security"],
            "max-age=31536000"
        );
        assert_eq!(
            response.headers()["cross-origin-opener-policy"],
            "same-origin"
        );
    }
    let request = client().get(&app.vote).header("x-forwarded-proto", "https");
    let cookie = request.send().await.unwrap().headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        cookie.starts_with("__Host-voter_id_") && cookie.contains("; Secure"),
        "{cookie}"
    );
    app.stop().await;
    for (hsts, header) in [
        ("off", None),
        (
            "max-age=60; includeSubDomains",
            Some("max-age=60; includeSubDomains"),
        ),
    ] {
        let app = App::start(&storage, &["--public-https", "true", "--hsts", hsts]).await;
        for url in [&app.vote, &app.result] {
            let response = send(Method::GET, url).await;
            let hsts_header = response.headers().get("strict-transport-security");
            assert_eq!(
                hsts_header.map(|value| value.to_str().unwrap()),
                header,
                "{url}"
            );
        }
        app.stop().await;
    }
}

async fn unknown_paths_and_methods_get_readable_errors(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let missing = send(Method::GET, &format!("{}/nowhere", app.vote)).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    assert!(
        missing
            .text()
            .await
            .unwrap()
            .contains("There is nothing at /nowhere")
    );
    let page = client()
        .get(format!("{}/nowhere", app.result))
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("accept-language", "de")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let page = page.text().await.unwrap();
    assert!(
        page.contains("Diese Seite gibt es nicht.") && page.contains("<a href=\"./\">"),
        "{page}"
    );
    let wrong = send(Method::DELETE, &format!("{}/api/tally", app.result)).await;
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers()["allow"], "GET,HEAD,OPTIONS");
    assert!(
        wrong
            .text()
            .await
            .unwrap()
            .contains("DELETE is not allowed")
    );
    app.stop().await;
}
