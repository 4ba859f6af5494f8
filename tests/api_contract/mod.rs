//! The services behave as their OpenAPI documents describe.

mod document;
mod problems;
mod responses;

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{storage::POLL_ID, voter::client};

fn send(service: &str, method: &Method, path: &str) -> RequestBuilder {
    let path = path.replace("{poll}", POLL_ID);
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
