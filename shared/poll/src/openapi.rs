//! The schemas of choices and poll ids in the API.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{PollId, ballot::Choice};

/// Any valid key. The OpenAPI document of a service replaces this schema by the keys of its poll.
impl PartialSchema for Choice {
    fn schema() -> RefOr<Schema> {
        key_schema()
    }
}

impl ToSchema for Choice {}

/// Any valid id.
impl PartialSchema for PollId {
    fn schema() -> RefOr<Schema> {
        key_schema()
    }
}

impl ToSchema for PollId {}

fn key_schema() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[a-z0-9-]{1,32}$"))
        .into()
}
