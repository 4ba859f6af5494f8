//! Descriptions of the responses with problems.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Header, ObjectBuilder, Ref, RefOr, Type, example::ExampleBuilder,
        header::HeaderBuilder, response::Response as ApiResponse,
    },
};

use crate::{PROBLEM_JSON, Problem, ProblemKind};

/// Returns the responses of an API operation for these kinds of problem.
#[must_use]
pub fn problem_responses(kinds: &[ProblemKind]) -> BTreeMap<String, RefOr<ApiResponse>> {
    let mut responses = BTreeMap::new();
    add_responses(&mut responses, kinds, add_problem);
    responses
}

/// Returns the responses of a page for these kinds of problem: the page with an error message.
#[must_use]
pub fn page_responses(kinds: &[ProblemKind]) -> BTreeMap<String, RefOr<ApiResponse>> {
    let mut responses = BTreeMap::new();
    add_responses(&mut responses, kinds, |response, kind| {
        append_description(response, kind.description());
        add_headers(response, kind);
        let content = ContentBuilder::new().schema(Some(String::schema()));
        response
            .content
            .insert("text/html".to_owned(), content.build().into());
    });
    responses
}

pub(super) fn add_responses(
    responses: &mut BTreeMap<String, RefOr<ApiResponse>>,
    kinds: &[ProblemKind],
    add: impl Fn(&mut ApiResponse, ProblemKind),
) {
    for kind in kinds {
        let response = responses
            .entry(kind.status().as_str().to_owned())
            .or_insert_with(|| RefOr::T(ApiResponse::default()));
        if let RefOr::T(response) = response {
            add(response, *kind);
        }
    }
}

fn append_description(response: &mut ApiResponse, description: &str) {
    if !response.description.is_empty() {
        response.description.push(' ');
    }
    response.description.push_str(description);
}

pub(super) fn add_problem(response: &mut ApiResponse, kind: ProblemKind) {
    append_description(
        response,
        &format!("`{}`: {}", kind.uri(), kind.description()),
    );
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
            .summary(kind.description())
            .value(serde_json::to_value(Problem::new(kind, kind.description())).ok());
        let name = kind.uri().trim_start_matches("/problems/").to_owned();
        content.examples.insert(name, example.build().into());
    }
}

fn add_headers(response: &mut ApiResponse, kind: ProblemKind) {
    if kind == ProblemKind::MethodNotAllowed {
        let description = "The allowed methods.";
        set_header(response, "Allow", description, Type::String);
    }
    if kind.has_retry_after() {
        let description = "Seconds to wait before a retry.";
        set_header(response, "Retry-After", description, Type::Integer);
    }
}

fn set_header(response: &mut ApiResponse, name: &str, description: &str, schema: Type) {
    let header: Header = HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(schema)))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}
