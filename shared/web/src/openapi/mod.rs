//! The OpenAPI document of a service, created from its handlers. Source: <https://spec.openapis.org/oas/v3.1.1>.

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

/// The description of a service for its document.
#[derive(Clone, Copy, Debug)]
pub struct Api<'a> {
    /// The title.
    pub title: &'a str,
    /// The description, in Markdown.
    pub description: &'a str,
    /// The poll, if all choices and poll ids of the document are those of one poll.
    pub poll: Option<&'a Poll>,
    /// The origins of other sites that may read the API.
    pub origins: Option<&'a AllowedOrigins>,
    /// The metrics in which routes are registered.
    pub metrics: &'a HttpMetrics,
    /// The cookie that identifies a voter, in a service with votes.
    pub voter_cookie: Option<&'a str>,
}

/// Returns the routes of a service, with `GET /api/openapi.json`, which describes them.
///
/// Other sites may read `cross_origin` and the document if [`Api::origins`] allows it, but never `same_origin`.
pub fn documented_routes(
    api: Api<'_>,
    cross_origin: OpenApiRouter,
    same_origin: OpenApiRouter,
) -> Router {
    let (description, description_document) = OpenApiRouter::<Description>::new()
        .routes(routes!(describe))
        .split_for_parts();
    let (mut cross_origin, mut document) = cross_origin.split_for_parts();
    let (same_origin, same_origin_document) = same_origin.split_for_parts();
    document.merge(same_origin_document);
    document.merge(description_document);
    complete(&mut document, api);
    api.metrics.pre_register_routes(&mut document);
    cross_origin = cross_origin.merge(description.with_state(Description::new(&document)));
    if let Some(origins) = api.origins {
        // The layer responds to preflights by OPTIONS, so the fallback must be set before it.
        cross_origin = cross_origin
            .method_not_allowed_fallback(method_not_allowed)
            .layer(origins.layer());
    }
    same_origin.merge(cross_origin)
}

/// The serialised document. Cloning is cheap.
#[derive(Clone)]
struct Description {
    json: Gzippable,
    tag: Arc<str>,
}

impl Description {
    fn new(document: &OpenApi) -> Self {
        let json = serde_json::to_vec(document).expect("a document consists of maps and text");
        let tag = fingerprint(&json);
        Self {
            json: json.into(),
            tag: tag.into(),
        }
    }
}

/// The OpenAPI document
#[utoipa::path(get, path = "/api/openapi.json", tag = "description", operation_id = "get_openapi",
    params(RequestConditions),
    responses(
        (status = OK, description = "An OpenAPI 3.1 document.", body = Object, content_type = "application/json",
            headers(("ETag" = String, description = "Changes with the document."))),
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

/// Returns the routes of the probes, for a service without other routes.
pub fn undocumented_routes(probes: OpenApiRouter, metrics: &HttpMetrics) -> Router {
    let (routes, mut document) = probes.split_for_parts();
    metrics.pre_register_routes(&mut document);
    routes
}

impl HttpMetrics {
    /// Registers the described statuses of all routes, and 500 and 503, which any request may get.
    fn pre_register_routes(&self, document: &mut OpenApi) {
        for (route, path) in &mut document.paths.paths {
            for (method, operation) in operations(path) {
                let documented = operation.responses.responses.keys().map(String::as_str);
                let statuses: Vec<_> = documented.chain(["500", "503"]).collect();
                self.pre_register_labels(method, route, &statuses);
            }
        }
    }
}
