//! Answers that a client need not fetch again while they are the same. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-13>.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa::{IntoParams, IntoResponses};

use super::encoding;
use gzip::Gzippable;

/// What a client has already, as the API's description says it.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes what is read by hand here")]
pub struct RequestConditions {
    /// The entity tags that the client has.
    #[param(
        rename = "If-None-Match",
        required = false,
        example = "\"6a2c1e0b9f3d4785\""
    )]
    if_none_match: String,
}

/// The client has it already.
#[derive(IntoResponses)]
#[response(status = NOT_MODIFIED, headers(("ETag" = String, description = "What the client has.")))]
pub struct NotModified;

/// The content, or 304 where the client has it already: where it names this tag.
pub fn conditional_response(
    tag: &str,
    headers: &HeaderMap,
    content_type: &str,
    content: impl FnOnce() -> Gzippable,
) -> Response {
    // A weak one: what it names may be sent as it is or compressed.
    let tag = format!("\"{tag}\"");
    let weak = format!("W/{tag}");
    let about = [
        (header::ETAG, weak.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ];
    if is_known(&tag, headers) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, content_type)];
    (about, content_type, encoding::body(headers, &content())).into_response()
}

fn is_known(tag: &str, headers: &HeaderMap) -> bool {
    let same = |known: &str| known == "*" || known.trim_start_matches("W/") == tag;
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|known| same(known.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(asked: &[&'static str]) -> StatusCode {
        let asked = asked
            .iter()
            .map(|tags| (header::IF_NONE_MATCH, tags.parse().unwrap()));
        conditional_response("1f", &asked.collect(), "text/plain", || "content".into()).status()
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for known in ["\"1f\"", "W/\"1f\"", "\"0\", \"1f\"", "*"] {
            assert_eq!(status(&[known]), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!(status(&["\"0\"", "\"1f\""]), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn anything_else_is_sent() {
        for other in ["", "\"0\"", "1f", "\"1f", "\"é\""] {
            assert_eq!(status(&[other]), StatusCode::OK, "{other}");
        }
        assert_eq!(status(&[]), StatusCode::OK);
    }
}
