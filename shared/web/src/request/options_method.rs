//! `OPTIONS` at every path: 204 and the allowed methods. Load balancers probe with it (haproxy's `option httpchk`, without a
//! `Host`). It is not a browser's preflight. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7>.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

/// The methods that the service supports, for `OPTIONS *`.
const ALL: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,OPTIONS");

/// The target of an `OPTIONS` request.
#[derive(Clone, Copy)]
pub(crate) enum OptionsTarget {
    /// The request has another method.
    None,
    /// The path of the request.
    Path,
    /// The whole server: `OPTIONS *`.
    Server,
}

/// Prepares an `OPTIONS` request for the router, and returns its target.
///
/// The method becomes one that no path allows, so that the router responds with the allowed methods. A preflight is unchanged:
/// the routes that other sites may read respond to it.
pub(crate) fn prepare(request: &mut Request) -> OptionsTarget {
    if request.method() != Method::OPTIONS {
        return OptionsTarget::None;
    }
    if request.uri().path() == "*" {
        *request.uri_mut() = Uri::from_static("/");
        return OptionsTarget::Server;
    }
    let is_preflight = request
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        *request.method_mut() = Method::TRACE;
    }
    OptionsTarget::Path
}

/// Turns the router's 405 response into the response to `OPTIONS`, and adds `OPTIONS` to the allowed methods of other 405
/// responses.
pub(crate) fn finish(mut response: Response, target: OptionsTarget) -> Response {
    if let OptionsTarget::Server = target {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, ALL)]).into_response();
    }
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let methods = response.headers().get(header::ALLOW);
    let methods = methods
        .and_then(|methods| methods.to_str().ok())
        .unwrap_or_default();
    let allow = HeaderValue::try_from(format!("{methods},OPTIONS"));
    let allow = allow.unwrap_or(ALL);
    if let OptionsTarget::Path = target {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response();
    }
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
