//! Security headers of all responses, errors included.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

use crate::request::Hsts;

/// Allows only content of the same origin, and no inline scripts and styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'";

/// Returns the content security policy of a page that pages of these origins may show in a frame.
///
/// # Panics
/// An origin is not ASCII. The settings allow only ASCII origins.
#[must_use]
pub fn content_security_policy(frame_ancestors: &[String]) -> HeaderValue {
    let ancestors = match frame_ancestors {
        [] => "'none'".to_owned(),
        origins => origins.join(" "),
    };
    HeaderValue::try_from(format!("{POLICY}; frame-ancestors {ancestors}"))
        .expect("origins are ASCII")
}

/// Headers that are added to every response that does not set them itself.
pub(crate) struct SecurityHeaders(Vec<(HeaderName, HeaderValue)>);

impl SecurityHeaders {
    /// Creates the headers. `hsts` is `None` without HTTPS, where browsers must ignore HSTS. They also ignore
    /// `Cross-Origin-Opener-Policy` there and log a warning, so it is left out, too.
    pub(crate) fn new(hsts: Option<&Hsts>) -> Self {
        let fixed = HeaderValue::from_static;
        let headers = [
            (
                header::CONTENT_SECURITY_POLICY,
                content_security_policy(&[]),
            ),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("same-origin")),
            // Settings can allow frames and fetches of other origins by other headers.
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                fixed("same-origin"),
            ),
        ];
        let openers = (
            HeaderName::from_static("cross-origin-opener-policy"),
            fixed("same-origin"),
        );
        let openers = hsts.is_some().then_some(openers);
        let hsts = hsts.and_then(Hsts::header);
        let over_https = hsts.map(|value| (header::STRICT_TRANSPORT_SECURITY, value));
        let headers = headers.into_iter().chain(openers).chain(over_https);
        Self(headers.collect())
    }

    pub(crate) fn apply_headers(&self, response: &mut Response) {
        for (name, value) in &self.0 {
            let set = response.headers_mut().entry(name);
            set.or_insert_with(|| value.clone());
        }
    }
}
