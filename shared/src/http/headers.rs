//! Headers that keep browsers safe, on every answer, errors included.

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
};
use tower_http::set_header::SetResponseHeaderLayer;

/// Nothing from anywhere but this very host, no inline script or style.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'";
/// A year, in seconds. Sent only over HTTPS: browsers must ignore it elsewhere.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=31536000";

/// The content security policy of a page that pages of these origins may show in a frame.
#[must_use]
pub fn content_security_policy(frame_ancestors: &[String]) -> String {
    let ancestors = match frame_ancestors {
        [] => "'none'".to_owned(),
        origins => origins.join(" "),
    };
    format!("{POLICY}; frame-ancestors {ancestors}")
}

/// Puts the headers on every answer that does not set them itself.
pub(super) fn with_security_headers(routes: Router, behind_https: bool) -> Router {
    let policy = HeaderValue::try_from(content_security_policy(&[])).expect("it is ASCII");
    let fixed = HeaderValue::from_static;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("same-origin")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            fixed("same-origin"),
        ),
    ];
    let over_https = behind_https.then_some((
        header::STRICT_TRANSPORT_SECURITY,
        fixed(STRICT_TRANSPORT_SECURITY),
    ));
    headers
        .into_iter()
        .chain(over_https)
        .fold(routes, |routes, (name, value)| {
            routes.layer(SetResponseHeaderLayer::if_not_present(name, value))
        })
}
