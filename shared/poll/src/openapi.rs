//! The description of a choice in the API.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::ballot::Choice;

/// Any key an option may have; a poll's own keys come in its place where a service describes itself.
impl PartialSchema for Choice {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[a-z0-9-]{1,32}$"))
            .into()
    }
}

impl ToSchema for Choice {}
