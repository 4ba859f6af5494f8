//! Conditional requests. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-13>.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use utoipa::{IntoParams, IntoResponses};

use super::encoding;
use gzip::Gzippable;

/// The request headers of a conditional request, in the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "it describes headers that conditional_response reads"
)]
pub struct RequestConditions {
    /// Entity tags of cached responses.
    #[param(
        rename = "If-None-Match",
        required = false,
        example = "\"6a2c1e0b9f3d4785\""
    )]
    if_none_match: String,
}

/// The cached response of the client is still valid.
#[derive(IntoResponses)]
#[response(status = NOT_MODIFIED, headers(("ETag" = String, description = "The entity tag of the cached response.")))]
pub struct NotModified;

/// Returns the content, or 304 if `If-None-Match` has this entity tag.
///
/// # Panics
/// The tag contains a quote or a control character.
pub fn conditional_response(
    tag: &str,
    headers: &HeaderMap,
    content_type: &str,
    content: impl FnOnce() -> Gzippable,
) -> Response {
    // A weak one: the content may be compressed or not.
    let weak = format!("W/\"{tag}\"");
    let response_headers = [
        (header::ETAG, weak.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ];
    let tag: ETag = weak.parse().expect("entity tags are fingerprints");
    let condition: Option<IfNoneMatch> = headers.typed_get();
    if condition.is_some_and(|condition| !condition.precondition_passes(&tag)) {
        return (StatusCode::NOT_MODIFIED, response_headers).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, content_type)];
    (
        response_headers,
        content_type,
        encoding::negotiated_body(headers, &content()),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(conditions: &[&'static str]) -> StatusCode {
        let conditions = conditions
            .iter()
            .map(|tags| (header::IF_NONE_MATCH, tags.parse().unwrap()));
        conditional_response("1f", &conditions.collect(), "text/plain", || {
            "content".into()
        })
        .status()
    }

    #[test]
    fn a_known_tag_gets_304() {
        for known in ["\"1f\"", "W/\"1f\"", "\"0\", \"1f\"", "*"] {
            assert_eq!(status(&[known]), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!(status(&["\"0\"", "\"1f\""]), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn another_tag_gets_the_content() {
        for other in ["", "\"0\"", "1f", "\"1f", "\"é\""] {
            assert_eq!(status(&[other]), StatusCode::OK, "{other}");
        }
        assert_eq!(status(&[]), StatusCode::OK);
    }
}
