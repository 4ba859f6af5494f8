//! The description of a service's HTTP API, made from its handlers. Source: <https://spec.openapis.org/oas/v3.1.1>.

mod document;
mod problems;

use std::sync::Arc;

use axum::{Router, extract::State, http::HeaderMap, response::Response};
use utoipa::openapi::{
    OpenApi,
    path::{Operation, PathItem},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AllowedOrigins, HttpMetrics, NotModified, RequestConditions, app_service::method_not_allowed,
    conditional_response, fingerprint,
};
use gzip::Gzippable;
use poll::Poll;

pub use problems::{page_responses, problem_responses};

use document::complete;

/// What a service's document is about.
#[derive(Clone, Copy, Debug)]
pub struct Api<'a> {
    /// Its name.
    pub title: &'a str,
    /// What it is for, in Markdown.
    pub description: &'a str,
    /// The poll whose options may be chosen.
    pub poll: &'a Poll,
    /// Which other sites may read it.
    pub origins: Option<&'a AllowedOrigins>,
    /// Where its answers are counted.
    pub metrics: &'a HttpMetrics,
    /// The cookie that tells one voter from another, where that matters.
    pub voter_cookie: Option<&'a str>,
}

/// The routes of a service, with `GET /api/openapi.json`, which describes them.
///
/// Other sites may read `open` and the description where the settings say so, but never `own`.
pub fn documented_routes(api: Api<'_>, open: OpenApiRouter, own: OpenApiRouter) -> Router {
    let (description, described) = OpenApiRouter::<Description>::new()
        .routes(routes!(describe))
        .split_for_parts();
    let (mut open, mut document) = open.split_for_parts();
    let (own, of_own) = own.split_for_parts();
    document.merge(of_own);
    document.merge(described);
    complete(&mut document, api);
    api.metrics.expect_described(&mut document);
    open = open.merge(description.with_state(Description::new(&document)));
    if let Some(origins) = api.origins {
        // A browser asks by OPTIONS first. Around a fallback that comes later there would be no layer to answer that.
        open = open
            .method_not_allowed_fallback(method_not_allowed)
            .layer(origins.layer());
    }
    own.merge(open)
}

/// The document as it is served. Cloning is cheap.
#[derive(Clone)]
struct Description {
    json: Gzippable,
    tag: Arc<str>,
}

impl Description {
    fn new(document: &OpenApi) -> Self {
        let json = serde_json::to_vec(document).expect("a document is maps and text");
        let tag = fingerprint(&json);
        Self {
            json: json.into(),
            tag: tag.into(),
        }
    }
}

/// This document
#[utoipa::path(get, path = "/api/openapi.json", tag = "description", operation_id = "get_openapi",
    params(RequestConditions),
    responses(
        (status = OK, description = "An OpenAPI 3.1 document.", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "The same as long as the document is."))),
        NotModified,
    ),
)]
async fn describe(State(description): State<Description>, headers: HeaderMap) -> Response {
    let json = description.json.clone();
    conditional_response(&description.tag, &headers, "application/json", || json)
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let methods = [("GET", &mut path.get), ("POST", &mut path.post)];
    methods
        .into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The routes of the probes, for a service that has no others.
pub fn undocumented_routes(probes: OpenApiRouter, metrics: &HttpMetrics) -> Router {
    let (routes, mut document) = probes.split_for_parts();
    metrics.expect_described(&mut document);
    routes
}

impl HttpMetrics {
    /// What is described may come about, and so may a crash and a lack of time.
    fn expect_described(&self, document: &mut OpenApi) {
        for (route, path) in &mut document.paths.paths {
            for (method, operation) in operations(path) {
                let described = operation.responses.responses.keys().map(String::as_str);
                let statuses: Vec<_> = described.chain(["500", "503"]).collect();
                self.expect(method, route, &statuses);
            }
        }
    }
}
