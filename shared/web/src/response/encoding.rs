//! Answers that are compressed for clients that take them so.

use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};

use gzip::Gzippable;

/// Bytes as the client takes them.
pub(crate) fn body(headers: &HeaderMap, content: &Gzippable) -> Response {
    let vary = [(header::VARY, "accept-encoding")];
    let answer = encoded(headers, || content.plain(), || content.gzip());
    (vary, answer).into_response()
}

/// The answer compressed by gzip where the client takes it, and as it is otherwise.
pub(crate) fn encoded<P: IntoResponse, G: IntoResponse>(
    headers: &HeaderMap,
    plain: impl FnOnce() -> P,
    gzip: impl FnOnce() -> G,
) -> Response {
    if takes_gzip(headers) {
        ([(header::CONTENT_ENCODING, "gzip")], gzip()).into_response()
    } else {
        plain().into_response()
    }
}

/// Returns true if a client takes it, which a weight of 0 denies. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let refuses = |parameter: &str| {
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
            name.eq_ignore_ascii_case("gzip") && !parts.any(refuses)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(codings: &'static str) -> bool {
        let codings = codings.parse().unwrap();
        takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, codings)]))
    }

    #[test]
    fn who_takes_it_compressed_is_read_from_the_header() {
        for yes in ["gzip", "br, gzip", "deflate,GZIP;q=0.5", "gzip ; q=1"] {
            assert!(takes(yes), "{yes}");
        }
        for no in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000", "xgzip"] {
            assert!(!takes(no), "{no}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }
}
