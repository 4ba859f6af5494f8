//! `OPTIONS` at every path: 204 and the methods that the path knows. Load balancers probe with it (haproxy's
//! `option httpchk`, without a `Host`), and it is no preflight of a browser. Source:
//! <https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7>.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

/// The methods that the service knows at all, for `OPTIONS *`.
const ALL: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,OPTIONS");

/// Makes the router say which methods the path knows, and returns whether the client asks for that.
///
/// The router says so in its answer to a method that no path knows. A preflight stays as it is, for the routes that other
/// sites may read answer it themselves.
pub(crate) fn prepare(request: &mut Request) -> Asked {
    if request.method() != Method::OPTIONS {
        return Asked::SomethingElse;
    }
    if request.uri().path() == "*" {
        *request.uri_mut() = Uri::from_static("/");
        return Asked::OfAllPaths;
    }
    let is_preflight = request
        .headers()
        .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        *request.method_mut() = Method::TRACE;
    }
    Asked::OfThisPath
}

/// The paths of which a client wants to know the methods.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    SomethingElse,
    OfThisPath,
    OfAllPaths,
}

/// Turns the router's refusal of a method into the answer to `OPTIONS`, which every path knows.
pub(crate) fn finish(mut response: Response, asked: Asked) -> Response {
    if let Asked::OfAllPaths = asked {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, ALL)]).into_response();
    }
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let known = response.headers().get(header::ALLOW);
    let known = known
        .and_then(|known| known.to_str().ok())
        .unwrap_or_default();
    let allow = HeaderValue::try_from(format!("{known},OPTIONS"));
    let allow = allow.unwrap_or(ALL);
    if let Asked::OfThisPath = asked {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, allow)]).into_response();
    }
    response.headers_mut().insert(header::ALLOW, allow);
    response
}
