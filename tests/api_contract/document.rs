//! The documents themselves.

use insta::assert_snapshot;
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::valid_request;
use crate::harness::{
    app::App,
    document::Document,
    snapshot::settings,
    storage::{Backend, Storage},
    viewer::get_json,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_lists_the_options_of_the_poll() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(
        &storage,
        &["--poll-options", "tea=Tea,coffee=Coffee,none=-"],
    )
    .await;
    let Document(document) = Document::of(&app.vote).await;
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Choice"]["enum"], json!(["tea", "coffee", "none"]));
    let (_, poll) = get_json(&format!("{}/api/poll", app.vote)).await;
    assert_eq!(schemas["PollId"]["enum"], json!([poll["id"]]));
    // The results of all polls have the choices of all.
    let Document(document) = Document::of(&app.result).await;
    assert_eq!(
        document["components"]["schemas"]["Choice"]["enum"],
        Value::Null
    );
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
        assert_eq!(scheme["name"], set.split('=').next().unwrap(), "{set}");
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_are_those_of_the_snapshots() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    for (name, service) in [("vote", &app.vote), ("result", &app.result)] {
        let Document(mut document) = Document::of(service).await;
        document["info"]["version"] = "[version]".into();
        // The name contains a tag of the key of this installation.
        if let Some(cookie) = document.pointer_mut("/components/securitySchemes/voter/name") {
            *cookie = "[cookie]".into();
        }
        replace_examples_of_problems(&mut document);
        let document = serde_json::to_string_pretty(&document).unwrap();
        settings().bind(|| assert_snapshot!(name, document));
    }
    app.stop().await;
}

/// Replaces each example of a problem by its name, which is enough: the example repeats the description of the response.
fn replace_examples_of_problems(document: &mut Value) {
    match document {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "application/problem+json" {
                    let examples = member["examples"].as_object().expect("it has examples");
                    *member = examples.keys().cloned().collect();
                } else {
                    replace_examples_of_problems(member);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(replace_examples_of_problems),
        _ => {}
    }
}
