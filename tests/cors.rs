//! Cross-origin requests: scripts of configured origins may read the API, and none may vote.

use reqwest::{Method, Response, StatusCode};

use crate::harness::{
    app::App,
    raw::RawClient,
    storage::{Backend, Storage},
    viewer::wait_until_complete,
    voter::client,
};

const ALLOWED: &str = "https://friend.example";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// Sends a request as a browser does for a script of this origin.
async fn send(origin: &str, method: Method, url: &str, headers: &[(&str, &str)]) -> Response {
    let request = client().request(method, url).header("origin", origin);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().await.unwrap()
}

async fn get(origin: &str, url: &str) -> Response {
    send(origin, Method::GET, url, &[]).await
}

/// Sends a preflight request, as a browser does before requests that HTML forms cannot send.
async fn preflight(origin: &str, url: &str, method: &str, header: &str) -> Response {
    let headers = [
        ("access-control-request-method", method),
        ("access-control-request-headers", header),
    ];
    send(origin, Method::OPTIONS, url, &headers).await
}

/// All values of the response headers with this name.
fn header(response: &Response, name: &str) -> String {
    let values = response.headers().get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
    values.join(", ")
}

/// All URLs that other origins may be allowed to read, except the event stream.
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
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    wait_until_complete(&app.result).await;
    for url in readable(&app)
        .into_iter()
        .chain([format!("{}/events", app.result)])
    {
        let response = get(ALLOWED, &url).await;
        assert_eq!(response.status(), StatusCode::OK, "{url}");
        assert_eq!(header(&response, ALLOW_ORIGIN), "", "{url}");
        let preflighted = preflight(ALLOWED, &url, "GET", "if-none-match").await;
        assert_eq!(preflighted.status(), StatusCode::NO_CONTENT, "{url}");
        assert_eq!(header(&preflighted, "allow"), "GET,HEAD,OPTIONS", "{url}");
        assert_eq!(header(&preflighted, ALLOW_ORIGIN), "", "{url}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_configured_origins_may_read() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let origins = format!("http://localhost:3000,{ALLOWED}");
    let app = App::start(&storage, &["--cors-allowed-origins", &origins]).await;
    wait_until_complete(&app.result).await;
    for url in readable(&app)
        .into_iter()
        .chain([format!("{}/events", app.result)])
    {
        let response = get(ALLOWED, &url).await;
        assert_eq!(header(&response, ALLOW_ORIGIN), ALLOWED, "{url}");
        assert!(
            header(&response, "vary").contains("origin"),
            "{url}: caches must distinguish origins"
        );
        assert!(
            header(&response, "access-control-expose-headers").contains("etag"),
            "{url}"
        );
        assert_eq!(
            header(&response, "access-control-allow-credentials"),
            "",
            "{url}"
        );
        for other in [
            "https://other.example",
            "http://friend.example",
            "https://friend.example:8443",
            "null",
        ] {
            let response = get(other, &url).await;
            assert_eq!(header(&response, ALLOW_ORIGIN), "", "{url} from {other}");
            assert!(
                header(&response, "vary").contains("origin"),
                "{url}: caches must distinguish origins"
            );
        }
        let preflighted = preflight(ALLOWED, &url, "GET", "if-none-match").await;
        assert_eq!(preflighted.status(), StatusCode::OK, "{url}");
        assert_eq!(header(&preflighted, ALLOW_ORIGIN), ALLOWED, "{url}");
        assert_eq!(
            header(&preflighted, "access-control-allow-methods"),
            "GET,HEAD",
            "{url}"
        );
        assert!(
            header(&preflighted, "access-control-allow-headers").contains("if-none-match"),
            "{url}"
        );
        let preflighted = preflight("https://other.example", &url, "GET", "if-none-match").await;
        assert_eq!(header(&preflighted, ALLOW_ORIGIN), "", "{url}");
        // OPTIONS without preflight headers, as load balancers send it.
        let preflighted = client()
            .request(Method::OPTIONS, &url)
            .send()
            .await
            .unwrap();
        assert_eq!(preflighted.status(), StatusCode::NO_CONTENT, "{url}");
        assert_eq!(header(&preflighted, "allow"), "GET,HEAD,OPTIONS", "{url}");
    }
    let tag = header(
        &get(ALLOWED, &format!("{}/api/tally", app.result)).await,
        "etag",
    );
    let known = [("if-none-match", tag.as_str())];
    let unchanged = send(
        ALLOWED,
        Method::GET,
        &format!("{}/api/tally", app.result),
        &known,
    )
    .await;
    assert_eq!(
        (unchanged.status(), header(&unchanged, ALLOW_ORIGIN)),
        (StatusCode::NOT_MODIFIED, ALLOWED.to_owned())
    );
    for page in [&app.vote, &app.result] {
        assert_eq!(
            header(&get(ALLOWED, page).await, ALLOW_ORIGIN),
            "",
            "pages are not readable"
        );
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowed_origins_cannot_vote() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    for origins in [ALLOWED, "*"] {
        let app = App::start(&storage, &["--cors-allowed-origins", origins]).await;
        wait_until_complete(&app.result).await;
        let response = get(ALLOWED, &format!("{}/api/poll", app.vote)).await;
        assert_eq!(header(&response, ALLOW_ORIGIN), origins);
        let votes = format!("{}/api/votes", app.vote);
        let preflighted = preflight(ALLOWED, &votes, "POST", "content-type").await;
        assert_eq!(preflighted.status(), StatusCode::NO_CONTENT);
        assert_eq!(header(&preflighted, ALLOW_ORIGIN), "");
        let request = client()
            .post(&votes)
            .header("origin", ALLOWED)
            .header("content-type", "application/json")
            .body(r#"{"choice":"a"}"#);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(header(&response, ALLOW_ORIGIN), "");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_lists_the_allowed_methods() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    wait_until_complete(&app.result).await;
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
        // The `option httpchk` of HAProxy sends OPTIONS without a Host.
        let request = format!("OPTIONS {path} HTTP/1.0\r\n\r\n");
        let response = RawClient::exchange(service, request.as_bytes()).await;
        assert!(
            response.contains(" 204 No Content\r\n"),
            "{path}: {response}"
        );
        let allow = format!("allow: {methods}\r\n");
        assert!(response.contains(&allow), "{path}: {response}");
        assert!(response.ends_with("\r\n\r\n"), "{path}: {response}");
    }
    let nowhere = RawClient::exchange(&app.vote, b"OPTIONS /nowhere HTTP/1.0\r\n\r\n").await;
    assert!(nowhere.contains(" 404 "), "{nowhere}");
    app.stop().await;
}
