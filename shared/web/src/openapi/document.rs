//! The parts of the document that are independent of handlers.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        InfoBuilder, License, LicenseBuilder, ObjectBuilder, OpenApi, RefOr, ResponseBuilder,
        Schema, Server, ServerBuilder, Type,
        security::{ApiKey, ApiKeyValue, SecurityScheme},
    },
};

use super::{
    Api, operations,
    problems::{add_problem, add_responses},
};
use crate::{Problem, ProblemKind};
use poll::{Poll, PollId, ballot::Choice};

/// The problems that any request may get.
const COMMON_PROBLEMS: &[ProblemKind] = &[
    ProblemKind::MalformedRequest,
    ProblemKind::UnknownHost,
    ProblemKind::InternalError,
    ProblemKind::TimedOut,
    ProblemKind::TooManyConnections,
];

/// Adds the description of the service, the options of the poll, and the problems that any request may get.
pub(super) fn complete(document: &mut OpenApi, api: Api<'_>) {
    document.info = InfoBuilder::new()
        .title(api.title)
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(api.description))
        .license(Some(license()))
        .build();
    document.servers = Some(vec![server()]);
    // No authentication, except for operations that declare it.
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
    if let Some(poll) = api.poll {
        let (id, choice) = (poll_id_schema(poll), choice_schema(poll));
        components.schemas.extend([
            (PollId::name().into_owned(), id),
            (Choice::name().into_owned(), choice),
        ]);
    }
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

fn poll_id_schema(poll: &Poll) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The id of this poll."))
        .enum_values(Some([poll.id.as_str()]))
        .into()
}

fn choice_schema(poll: &Poll) -> RefOr<Schema> {
    let keys = || poll.options.iter().map(|option| option.key.as_str());
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some("The key of an option of this poll."))
        .enum_values(Some(keys()))
        .examples(keys().take(1))
        .into()
}

/// Returns the root of the service, relative to the document, so that it is right behind any proxy.
fn server() -> Server {
    ServerBuilder::new()
        .url("..")
        .description(Some("The service that serves this document, at any path."))
        .build()
}

fn license() -> License {
    const SPDX: &str = env!("CARGO_PKG_LICENSE");
    LicenseBuilder::new()
        .name(SPDX)
        .identifier(Some(SPDX))
        .build()
}

/// Returns the scheme of the voter cookie, which is signed and optional: without it the request is from a new voter.
fn voter_scheme(cookie: &str) -> SecurityScheme {
    let description = "Identifies the voter. It is set with a vote; send it back to change that vote. Without it, or with one that \
         the service did not sign, the vote is that of a new voter.";
    SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
        cookie,
        description,
    )))
}
