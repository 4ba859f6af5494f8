//! The schema of a choice in the API.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::ballot::Choice;

/// Any valid key. The OpenAPI document of a service replaces this schema by the keys of its poll.
impl PartialSchema for Choice {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[a-z0-9-]{1,32}$"))
            .into()
    }
}

impl ToSchema for Choice {}
