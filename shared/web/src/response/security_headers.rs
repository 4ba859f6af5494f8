//! Headers that keep browsers safe, on every answer, errors included.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::Response,
};

use crate::request::Hsts;

/// Nothing from anywhere but this very host, no inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'";

/// The content security policy of a page that pages of these origins may show in a frame.
///
/// # Panics
/// An origin is none: those from settings are.
#[must_use]
pub fn content_security_policy(frame_ancestors: &[String]) -> HeaderValue {
    let ancestors = match frame_ancestors {
        [] => "'none'".to_owned(),
        origins => origins.join(" "),
    };
    HeaderValue::try_from(format!("{POLICY}; frame-ancestors {ancestors}"))
        .expect("origins are ASCII")
}

/// The headers that every answer has which does not set them itself.
pub(crate) struct SafetyHeaders(Vec<(HeaderName, HeaderValue)>);

impl SafetyHeaders {
    /// `hsts` is sent only over HTTPS: browsers must ignore it elsewhere. They also ignore a policy for openers there, and
    /// complain of it.
    pub(crate) fn new(hsts: Option<&Hsts>) -> Self {
        let fixed = HeaderValue::from_static;
        let headers = [
            (
                header::CONTENT_SECURITY_POLICY,
                content_security_policy(&[]),
            ),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("same-origin")),
            // Frames and fetches are allowed by other headers, where settings say so.
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

    pub(crate) fn put_on(&self, response: &mut Response) {
        for (name, value) in &self.0 {
            let set = response.headers_mut().entry(name);
            set.or_insert_with(|| value.clone());
        }
    }
}
