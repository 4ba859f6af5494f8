//! Scripts of other sites: they may read the API where the settings say so, and can never vote.

use reqwest::{Method, Response, StatusCode};

use crate::harness::{
    app::App,
    raw::Raw,
    storage::{Kind, Storage},
    viewer::until_complete,
    voter::client,
};

const FRIEND: &str = "https://friend.example";
const ALLOW: &str = "access-control-allow-origin";

/// Asks as a browser does for a script of this site.
async fn ask(origin: &str, method: Method, url: &str, headers: &[(&str, &str)]) -> Response {
    let request = client().request(method, url).header("origin", origin);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().await.unwrap()
}

async fn get(origin: &str, url: &str) -> Response {
    ask(origin, Method::GET, url, &[]).await
}

/// Asks first, as a browser does before a request that a page could not make without a script.
async fn preflight(origin: &str, url: &str, method: &str, header: &str) -> Response {
    let headers = [
        ("access-control-request-method", method),
        ("access-control-request-headers", header),
    ];
    ask(origin, Method::OPTIONS, url, &headers).await
}

/// All that the answer's headers with this name say.
fn header(answer: &Response, name: &str) -> String {
    let values = answer.headers().get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
    values.join(", ")
}

/// Everything that other sites may be allowed to read, but for the events.
fn readable(app: &App) -> Vec<String> {
    let of_result = ["tally", "tally.csv", "timeline", "openapi.json"];
    let of_vote = ["poll", "openapi.json"];
    let url = |service: &str, paths: &[&str]| -> Vec<_> {
        paths
            .iter()
            .map(|path| format!("{service}/api/{path}"))
            .collect()
    };
    [url(&app.result, &of_result), url(&app.vote, &of_vote)].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_origin_is_allowed_by_default() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    until_complete(&app.result).await;
    for url in readable(&app)
        .into_iter()
        .chain([format!("{}/events", app.result)])
    {
        let answer = get(FRIEND, &url).await;
        assert_eq!(answer.status(), StatusCode::OK, "{url}");
        assert_eq!(header(&answer, ALLOW), "", "{url}");
        let asked = preflight(FRIEND, &url, "GET", "if-none-match").await;
        assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{url}");
        assert_eq!(header(&asked, "allow"), "GET,HEAD,OPTIONS", "{url}");
        assert_eq!(header(&asked, ALLOW), "", "{url}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_configured_origins_may_read() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let named = format!("http://localhost:3000,{FRIEND}");
    let app = App::start(&storage, &["--cors-allowed-origins", &named]).await;
    until_complete(&app.result).await;
    for url in readable(&app)
        .into_iter()
        .chain([format!("{}/events", app.result)])
    {
        let answer = get(FRIEND, &url).await;
        assert_eq!(header(&answer, ALLOW), FRIEND, "{url}");
        assert!(
            header(&answer, "vary").contains("origin"),
            "{url}: caches keep them apart"
        );
        assert!(
            header(&answer, "access-control-expose-headers").contains("etag"),
            "{url}"
        );
        assert_eq!(
            header(&answer, "access-control-allow-credentials"),
            "",
            "{url}"
        );
        for other in [
            "https://other.example",
            "http://friend.example",
            "https://friend.example:8443",
            "null",
        ] {
            let answer = get(other, &url).await;
            assert_eq!(header(&answer, ALLOW), "", "{url} from {other}");
            assert!(
                header(&answer, "vary").contains("origin"),
                "{url}: caches keep them apart"
            );
        }
        let asked = preflight(FRIEND, &url, "GET", "if-none-match").await;
        assert_eq!(asked.status(), StatusCode::OK, "{url}");
        assert_eq!(header(&asked, ALLOW), FRIEND, "{url}");
        assert_eq!(
            header(&asked, "access-control-allow-methods"),
            "GET,HEAD",
            "{url}"
        );
        assert!(
            header(&asked, "access-control-allow-headers").contains("if-none-match"),
            "{url}"
        );
        let asked = preflight("https://other.example", &url, "GET", "if-none-match").await;
        assert_eq!(header(&asked, ALLOW), "", "{url}");
        // No preflight: a load balancer's probe, or a person.
        let asked = client()
            .request(Method::OPTIONS, &url)
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status(), StatusCode::NO_CONTENT, "{url}");
        assert_eq!(header(&asked, "allow"), "GET,HEAD,OPTIONS", "{url}");
    }
    let tag = header(
        &get(FRIEND, &format!("{}/api/tally", app.result)).await,
        "etag",
    );
    let known = [("if-none-match", tag.as_str())];
    let same = ask(
        FRIEND,
        Method::GET,
        &format!("{}/api/tally", app.result),
        &known,
    )
    .await;
    assert_eq!(
        (same.status(), header(&same, ALLOW)),
        (StatusCode::NOT_MODIFIED, FRIEND.to_owned())
    );
    for page in [&app.vote, &app.result] {
        assert_eq!(
            header(&get(FRIEND, page).await, ALLOW),
            "",
            "pages are not for scripts"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowed_origins_cannot_vote() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    for origins in [FRIEND, "*"] {
        let app = App::start(&storage, &["--cors-allowed-origins", origins]).await;
        until_complete(&app.result).await;
        let answer = get(FRIEND, &format!("{}/api/poll", app.vote)).await;
        assert_eq!(header(&answer, ALLOW), origins);
        let votes = format!("{}/api/votes", app.vote);
        let asked = preflight(FRIEND, &votes, "POST", "content-type").await;
        assert_eq!(asked.status(), StatusCode::NO_CONTENT);
        assert_eq!(header(&asked, ALLOW), "");
        let request = client()
            .post(&votes)
            .header("origin", FRIEND)
            .header("content-type", "application/json")
            .body(r#"{"choice":"a"}"#);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(header(&answer, ALLOW), "");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_lists_the_allowed_methods() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    until_complete(&app.result).await;
    let page = client().get(&app.vote).send().await.unwrap();
    let page = page.text().await.unwrap();
    let style = page.split('"').find(|text| text.starts_with("static/"));
    let style = format!("/{}", style.expect("the page has files"));
    for (service, path, methods) in [
        (&app.vote, "/", "GET,HEAD,POST,OPTIONS"),
        (&app.vote, "/api/votes", "POST,OPTIONS"),
        (&app.vote, "/api/poll", "GET,HEAD,OPTIONS"),
        (&app.vote, &style, "GET,HEAD,OPTIONS"),
        (&app.result, "/", "GET,HEAD,OPTIONS"),
        (&app.result, "/events", "GET,HEAD,OPTIONS"),
        (&app.worker, "/ready", "GET,HEAD,OPTIONS"),
        (&app.worker, "*", "GET,HEAD,POST,OPTIONS"),
    ] {
        // As haproxy's `option httpchk` does, without a Host.
        let request = format!("OPTIONS {path} HTTP/1.0\r\n\r\n");
        let answer = Raw::ask(service, request.as_bytes()).await;
        assert!(answer.contains(" 204 No Content\r\n"), "{path}: {answer}");
        let allow = format!("allow: {methods}\r\n");
        assert!(answer.contains(&allow), "{path}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
    }
    let nowhere = Raw::ask(&app.vote, b"OPTIONS /nowhere HTTP/1.0\r\n\r\n").await;
    assert!(nowhere.contains(" 404 "), "{nowhere}");
    app.stop().await;
}
