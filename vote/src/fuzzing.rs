//! The readers of what anybody may send, for the fuzz targets in `fuzz/`. No other build has them.

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, header},
};
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::{
    cookie_key::CookieKeys,
    form::Form,
    identity::{Context, Identity, signed},
    vote_document,
};

const CONTEXT: Context<'_> = Context {
    now: Timestamp::UNIX_EPOCH,
    poll: "poll",
    path: "/",
};
const BOUNDARY: &str = "multipart/form-data; boundary=b";

/// The vote in a form.
#[must_use]
pub fn urlencoded(body: &[u8]) -> Option<String> {
    let form = Form::urlencoded(body).ok()?;
    Some(form.vote().ok()?.to_owned())
}

/// The vote in a form in parts, which are separated by `--b`.
#[must_use]
pub fn multipart(body: &[u8]) -> Option<String> {
    let body = Bytes::copy_from_slice(body);
    // All of the body is there, so nothing is waited for.
    let form = Form::multipart(&body, BOUNDARY).now_or_never()?.ok()?;
    Some(form.vote().ok()?.to_owned())
}

/// The vote in a document.
#[must_use]
pub fn json(body: &[u8]) -> Option<String> {
    Some(vote_document::choice(body).ok()?.into_owned())
}

/// Returns true if these cookies make a voter known.
#[must_use]
pub fn is_known(cookies: &[u8]) -> bool {
    let keys = keys();
    let Ok(cookies) = HeaderValue::from_bytes(cookies) else {
        return false;
    };
    let headers = HeaderMap::from_iter([(header::COOKIE, cookies)]);
    Identity::of(&headers, &keys, CONTEXT).has_cookie
}

/// Reads this as the content of a cookie that is signed.
pub fn read_signed(payload: &[u8]) {
    let keys = keys();
    let name = &keys.current.name;
    let cookie = format!("{name}={}", signed(payload.to_vec(), name, &keys.current));
    let cookie = HeaderValue::try_from(cookie).expect("names and base64url are ASCII");
    let headers = HeaderMap::from_iter([(header::COOKIE, cookie)]);
    let _ = Identity::of(&headers, &keys, CONTEXT);
}

fn keys() -> CookieKeys {
    CookieKeys::new(Some(&"0123456789abcdef".repeat(8)), None, None, false)
        .expect("it is a key of 64 bytes")
}
