//! The description of a service's HTTP API, made from its handlers. Source: <https://spec.openapis.org/oas/v3.1.1>.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, extract::State, http::HeaderMap, response::Response};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Header, InfoBuilder, License, LicenseBuilder, ObjectBuilder, OpenApi, Ref,
        RefOr, ResponseBuilder, Server, ServerBuilder, Type,
        example::ExampleBuilder,
        header::HeaderBuilder,
        path::{Operation, PathItem},
        response::Response as Described,
        security::{ApiKey, ApiKeyValue, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AllowedOrigins, HttpMetrics, NotModified, PROBLEM_JSON, Problem, ProblemKind,
    RequestConditions, app_service::method_not_allowed, assets::fingerprint, conditional_response,
};
use gzip::Gzippable;
use poll::{Poll, ballot::Choice};

/// What any request may come to, whatever it asks for.
const COMMON_PROBLEMS: &[ProblemKind] = &[
    ProblemKind::MalformedRequest,
    ProblemKind::UnknownHost,
    ProblemKind::InternalError,
    ProblemKind::TimedOut,
    ProblemKind::TooManyConnections,
];

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
        let tag = format!("{:016x}", fingerprint(&json));
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

/// The responses that an operation gives for these kinds of problem.
#[must_use]
pub fn problem_responses(kinds: &[ProblemKind]) -> BTreeMap<String, RefOr<Described>> {
    let mut responses = BTreeMap::new();
    add_responses(&mut responses, kinds, add_problem);
    responses
}

/// The responses that a page gives for these kinds of problem: the page, which says what was wrong.
#[must_use]
pub fn page_responses(kinds: &[ProblemKind]) -> BTreeMap<String, RefOr<Described>> {
    let mut responses = BTreeMap::new();
    add_responses(&mut responses, kinds, |response, kind| {
        add_words(response, kind.about());
        add_headers(response, kind);
        let content = ContentBuilder::new().schema(Some(String::schema()));
        response
            .content
            .insert("text/html".to_owned(), content.build().into());
    });
    responses
}

fn add_responses(
    responses: &mut BTreeMap<String, RefOr<Described>>,
    kinds: &[ProblemKind],
    add: impl Fn(&mut Described, ProblemKind),
) {
    for kind in kinds {
        let response = responses
            .entry(kind.status().as_str().to_owned())
            .or_insert_with(|| RefOr::T(Described::default()));
        if let RefOr::T(response) = response {
            add(response, *kind);
        }
    }
}

fn add_words(response: &mut Described, words: &str) {
    if !response.description.is_empty() {
        response.description.push(' ');
    }
    response.description.push_str(words);
}

fn add_problem(response: &mut Described, kind: ProblemKind) {
    add_words(response, &format!("`{}`: {}", kind.uri(), kind.about()));
    add_headers(response, kind);
    let content = response
        .content
        .entry(PROBLEM_JSON.to_owned())
        .or_insert_with(|| {
            let problem = Ref::from_schema_name(Problem::name());
            RefOr::T(ContentBuilder::new().schema(Some(problem)).build())
        });
    if let RefOr::T(content) = content {
        let example = ExampleBuilder::new()
            .summary(kind.about())
            .value(serde_json::to_value(Problem::new(kind, kind.about())).ok());
        let name = kind.uri().trim_start_matches("/problems/").to_owned();
        content.examples.insert(name, example.build().into());
    }
}

fn add_headers(response: &mut Described, kind: ProblemKind) {
    if kind == ProblemKind::MethodNotAllowed {
        let about = "The methods that the path knows.";
        set_header(response, "Allow", about, Type::String);
    }
    if kind.has_retry_after() {
        let about = "Seconds to wait before trying again.";
        set_header(response, "Retry-After", about, Type::Integer);
    }
}

fn set_header(response: &mut Described, name: &str, about: &str, schema: Type) {
    let header: Header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(schema)))
        .description(Some(about))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}

/// Adds what the handlers do not know: what the document is about, the poll's own options, and problems of any request.
fn complete(document: &mut OpenApi, api: Api<'_>) {
    document.info = InfoBuilder::new()
        .title(api.title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(api.description))
        .license(Some(license()))
        .build();
    document.servers = Some(vec![server()]);
    // Nothing is asked for, but where an operation says otherwise.
    document.security = Some(Vec::new());
    for (_, operation) in document.paths.paths.values_mut().flat_map(operations) {
        add_responses(
            &mut operation.responses.responses,
            COMMON_PROBLEMS,
            add_problem,
        );
    }
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    if let Some(cookie) = api.voter_cookie {
        components
            .security_schemes
            .insert("voter".to_owned(), RefOr::T(voter_scheme(cookie)));
    }
    let keys = || api.poll.options.iter().map(|option| option.key.as_str());
    let choice = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The key of an option of this poll."))
        .enum_values(Some(keys()))
        .examples(keys().take(1));
    components
        .schemas
        .insert(Choice::name().into_owned(), choice.into());
    for (name, kind) in [
        ("NotFound", ProblemKind::NotFound),
        ("MethodNotAllowed", ProblemKind::MethodNotAllowed),
    ] {
        let mut response = ResponseBuilder::new().build();
        add_problem(&mut response, kind);
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
}

/// The root of the service, relative to the document: whatever host, port and path a proxy puts in front of both.
fn server() -> Server {
    ServerBuilder::new()
        .url("..")
        .description(Some(
            "The service that this document comes from, below whatever path.",
        ))
        .build()
}

fn license() -> License {
    const SPDX: &str = env!("CARGO_PKG_LICENSE");
    LicenseBuilder::new()
        .name(SPDX)
        .identifier(Some(SPDX))
        .build()
}

/// A cookie that is signed, and optional: without it somebody is a new voter.
fn voter_scheme(cookie: &str) -> SecurityScheme {
    let about = "Who votes. It is set with a vote; send it back to change that vote. Without it, or with one that the \
         service did not sign, the vote is a new voter's.";
    SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(cookie, about)))
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
