//! What the description of the API says of votes that are not accepted.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{RefOr, Response},
};
use web::{page_responses, problem_responses};

use crate::refusal::Refusal;

/// A refusal, told to a program.
pub struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem_responses(Refusal::KINDS)
    }
}

/// A refusal, told to a voter.
pub struct RefusedPage;

impl IntoResponses for RefusedPage {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        page_responses(Refusal::KINDS)
    }
}
