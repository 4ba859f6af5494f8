//! Error responses of a vote in the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{RefOr, Response},
};
use web::{page_responses, problem_responses};

use crate::vote_error::VoteError;

/// Error responses as JSON.
pub struct VoteErrors;

impl IntoResponses for VoteErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problem_responses(VoteError::KINDS)
    }
}

/// Error responses as HTML.
pub struct VoteErrorPages;

impl IntoResponses for VoteErrorPages {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        page_responses(VoteError::KINDS)
    }
}
