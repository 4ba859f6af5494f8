//! Checks of the framing of request bodies.

use axum::{
    extract::Request,
    http::{HeaderValue, header},
};

use crate::{Problem, ProblemKind};

/// Rejects transfer codings other than `chunked`, as RFC 9112 requires. A server that ignores one reads the coded bytes as the
/// body, and may see another end of the request than a proxy in front (request smuggling).
/// Source: <https://www.rfc-editor.org/rfc/rfc9112#section-6.1>.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    let codings = request.headers().get_all(header::TRANSFER_ENCODING);
    let mut codings = codings.iter().map(HeaderValue::as_bytes);
    let is_supported = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if is_supported {
        return Ok(());
    }
    Err(Problem::new(
        ProblemKind::UnknownTransferCoding,
        "The header Transfer-Encoding has another value than chunked. Send the body without a transfer coding.",
    ))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn is_supported(codings: &[&str]) -> bool {
        let mut request = Request::builder();
        for coding in codings {
            request = request.header(header::TRANSFER_ENCODING, *coding);
        }
        check(&request.body(Body::empty()).unwrap()).is_ok()
    }

    #[test]
    fn only_chunked_is_supported() {
        for codings in [&[][..], &["chunked"], &["Chunked"], &[" chunked "]] {
            assert!(is_supported(codings), "{codings:?}");
        }
        for codings in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked", "chunked"],
            &["chunked, chunked"],
            &["identity"],
            &[""],
        ] {
            assert!(!is_supported(codings), "{codings:?}");
        }
    }
}
