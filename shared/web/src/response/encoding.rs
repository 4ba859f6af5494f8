//! Compression of responses for clients that accept it.

use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use gzip::Gzippable;

/// Returns a response with this content, compressed if the client accepts it.
pub(crate) fn negotiated_body(headers: &HeaderMap, content: &Gzippable) -> Response {
    let vary = [(header::VARY, "accept-encoding")];
    let response = negotiate(headers, || content.plain(), || content.gzip());
    (vary, response).into_response()
}

/// Returns the gzip response if the client accepts it, and the plain one otherwise.
pub(crate) fn negotiate<P: IntoResponse, G: IntoResponse>(
    headers: &HeaderMap,
    plain: impl FnOnce() -> P,
    gzip: impl FnOnce() -> G,
) -> Response {
    if accepts_gzip(headers) {
        ([(header::CONTENT_ENCODING, "gzip")], gzip()).into_response()
    } else {
        plain().into_response()
    }
}

/// Returns true if the client accepts gzip; a weight of 0 means that it does not. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let has_zero_weight = |parameter: &str| {
        let weight = parameter.trim().strip_prefix("q=");
        weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
    };
    let codings = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    codings
        .filter_map(|codings| codings.to_str().ok())
        .flat_map(|codings| codings.split(','))
        .any(|coding| {
            let mut parts = coding.split(';');
            let name = parts.next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("gzip") && !parts.any(has_zero_weight)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(codings: &'static str) -> bool {
        let codings = codings.parse().unwrap();
        accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, codings)]))
    }

    #[test]
    fn accept_encoding_decides_on_gzip() {
        for yes in ["gzip", "br, gzip", "deflate,GZIP;q=0.5", "gzip ; q=1"] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000", "xgzip"] {
            assert!(!accepts(no), "{no}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
