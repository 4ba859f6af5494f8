//! The documents themselves.

use reqwest::{Method, Url};
use serde_json::json;

use super::valid_request;
use crate::harness::{
    app::App,
    document::Document,
    storage::{Backend, Storage},
    viewer::get,
};

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
