//! Parsers of untrusted input for the fuzz targets in `fuzz/`. Other builds do not contain them.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, header},
};
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::{
    cookie_key::CookieKeys,
    form::Form,
    identity::{CookieContext, Identity, sign_payload},
    vote_document::VoteDocument,
};

const CONTEXT: CookieContext<'_> = CookieContext {
    now: Timestamp::UNIX_EPOCH,
    poll: "poll",
    path: "/",
};
const BOUNDARY: &str = "multipart/form-data; boundary=b";

/// Returns the vote in an urlencoded form.
#[must_use]
pub fn urlencoded(body: &[u8]) -> Option<String> {
    let form = Form::urlencoded(body).ok()?;
    Some(form.vote().ok()?.key.to_owned())
}

/// Returns the vote in a multipart form, whose parts are separated by `--b`.
#[must_use]
pub fn multipart(body: &[u8]) -> Option<String> {
    let body = Bytes::copy_from_slice(body);
    // The body is complete, so the future is ready.
    let form = Form::multipart(&body, BOUNDARY).now_or_never()?.ok()?;
    Some(form.vote().ok()?.key.to_owned())
}

/// Returns the vote in a JSON document.
#[must_use]
pub fn json(body: &[u8]) -> Option<String> {
    Some(VoteDocument::parse(body).ok()?.vote().key.to_owned())
}

/// Returns true if a voter is recognised by these cookies.
#[must_use]
pub fn is_known(cookies: &[u8]) -> bool {
    let keys = keys();
    let Ok(cookies) = HeaderValue::from_bytes(cookies) else {
        return false;
    };
    let headers = HeaderMap::from_iter([(header::COOKIE, cookies)]);
    Identity::from_cookies(&headers, &keys, CONTEXT).has_cookie
}

/// Reads this payload from a cookie with a valid signature.
pub fn read_signed(payload: &[u8]) {
    let keys = keys();
    let name = &keys.current.name;
    let cookie = format!(
        "{name}={}",
        sign_payload(payload.to_vec(), name, &keys.current)
    );
    let cookie = HeaderValue::try_from(cookie).expect("names and base64url are ASCII");
    let headers = HeaderMap::from_iter([(header::COOKIE, cookie)]);
    let _ = Identity::from_cookies(&headers, &keys, CONTEXT);
}

fn keys() -> CookieKeys {
    CookieKeys::new(Some(&"0123456789abcdef".repeat(8)), None, None, false)
        .expect("the key has 64 bytes")
}
