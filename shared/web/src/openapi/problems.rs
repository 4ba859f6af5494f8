//! The responses for kinds of problem, in the API's description.

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ContentBuilder, Header, ObjectBuilder, Ref, RefOr, Type, example::ExampleBuilder,
        header::HeaderBuilder, response::Response as Described,
    },
};

use crate::{PROBLEM_JSON, Problem, ProblemKind};

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

pub(super) fn add_responses(
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

pub(super) fn add_problem(response: &mut Described, kind: ProblemKind) {
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
