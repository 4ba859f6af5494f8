//! The voter's identity: a signed cookie with the voter's id and last choice.
//!
//! The cookie's value is a payload and its signature, in base64url without padding, which no client quotes or escapes:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version of this format: 1 |
//! | 16 | id of the voter |
//! | 8 | creation time of the cookie, in seconds since the Unix epoch, big-endian |
//! | 1 | length of the poll's id, n |
//! | n | id of the poll in which the voter voted |
//! | all but the last 32 | key of the last choice; empty: the voter has not voted yet |
//! | 32 | HMAC-SHA256 of the cookie's name, `=` and the bytes above |

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::AppendHeaders,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use poll::ballot::{Choice, VoterId};
use web::{
    Origin,
    csrf::{self, FormToken},
    forwarded_scheme,
};

use crate::cookie_key::{CookieKeys, Key, Purpose, SIGNATURE_BYTES};

/// Attributes of the cookie. Scripts and other sites have no access; browsers keep no cookie longer than 400 days.
/// Source: <https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-5.5>.
const ATTRIBUTES: &str = "; HttpOnly; SameSite=Lax; Max-Age=34560000; Path=";
const MAX_AGE_SECONDS: i64 = 34_560_000;
const VERSION: u8 = 1;
const TOKEN_BYTES: usize = 16;

/// A voter, as read from the cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the voter.
    pub voter: VoterId,
    /// Key of the option last voted for in the current poll; empty: none.
    pub last_choice: String,
    /// True if the voter came with a valid cookie, false for a new voter.
    pub has_cookie: bool,
}

/// Time, poll and path for which a cookie is read or created.
#[derive(Clone, Copy, Debug)]
pub struct CookieContext<'a> {
    /// Current time.
    pub now: Timestamp,
    /// Id of the current poll.
    pub poll: &'a str,
    /// Path below which the browser sends the cookie.
    pub path: &'a str,
}

impl Identity {
    /// Reads the voter from the cookies of a request. Creates a new voter if no cookie is valid.
    ///
    /// A browser that used HTTP before sends both cookies over HTTPS. Then the HTTPS cookie takes precedence.
    pub fn from_cookies(
        headers: &HeaderMap,
        keys: &CookieKeys,
        context: CookieContext<'_>,
    ) -> Self {
        let names = keys
            .all()
            .flat_map(|key| [(key, &key.secure_name), (key, &key.name)]);
        let from_cookie = || {
            names
                .into_iter()
                .flat_map(|(key, name)| cookies(headers, name).map(move |value| (key, name, value)))
                .find_map(|(key, name, value)| decode_cookie(value, name, key, context))
        };
        let has_cookies = headers.contains_key(header::COOKIE);
        has_cookies
            .then(from_cookie)
            .flatten()
            .unwrap_or_else(|| Self {
                voter: VoterId::random(),
                last_choice: String::new(),
                has_cookie: false,
            })
    }

    /// Returns the `Set-Cookie` headers by which this voter is recognised later.
    ///
    /// It is one header, or two if the page is public over HTTPS and the scheme of this request is unknown: a browser that
    /// used HTTP drops the cookie that is for HTTPS only.
    pub fn set_cookies(
        &self,
        keys: &CookieKeys,
        context: CookieContext<'_>,
        headers: &HeaderMap,
    ) -> AppendHeaders<impl Iterator<Item = (HeaderName, HeaderValue)> + use<>> {
        let scheme = keys.secure.then(|| browser_scheme(headers));
        let secure = matches!(scheme, Some(Scheme::Https | Scheme::Unknown));
        let plain = !matches!(scheme, Some(Scheme::Https));
        let key = &keys.current;
        let cookie = |name: &str, secure: &str| self.set_cookie(name, secure, key, context);
        let cookies = [
            secure.then(|| cookie(&key.secure_name, "; Secure")),
            plain.then(|| cookie(&key.name, "")),
        ];
        let cookies = cookies.into_iter().flatten();
        AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie)))
    }

    fn set_cookie(
        &self,
        name: &str,
        secure: &str,
        key: &Key,
        context: CookieContext<'_>,
    ) -> HeaderValue {
        let mut value = Vec::with_capacity(128);
        value.push(VERSION);
        value.extend(self.voter.to_bytes());
        value.extend(context.now.as_second().to_be_bytes());
        value.push(u8::try_from(context.poll.len()).expect("a poll's id has at most 32 bytes"));
        value.extend(context.poll.as_bytes());
        value.extend(self.last_choice.as_bytes());
        let value = sign_payload(value, name, key);
        // Browsers accept the `__Host-` prefix with this path only.
        let path = if secure.is_empty() { context.path } else { "/" };
        let cookie = [name, "=", &value, ATTRIBUTES, path, secure].concat();
        HeaderValue::try_from(cookie).expect("names and base64url are ASCII")
    }

    /// Returns the same voter after this vote.
    pub fn with_choice(self, choice: &Choice) -> Self {
        Self {
            last_choice: choice.to_string(),
            ..self
        }
    }

    /// Derives a new voter's id from a random text of the browser, so that a retry has the same id. If the response to the
    /// first attempt is lost, the browser has no cookie yet. A voter with a cookie stays unchanged.
    ///
    /// Only the browser knows the text. The id is a signature of it, so that clients cannot choose an id.
    pub fn for_attempt(self, attempt: &str, keys: &CookieKeys) -> Self {
        if self.has_cookie {
            return self;
        }
        let id = keys.current.sign(Purpose::Voter, &[attempt.as_bytes()]);
        let (id, _) = id.split_first_chunk().expect("a signature is longer");
        Self {
            voter: VoterId::from_bytes(*id),
            ..self
        }
    }

    /// Returns the form token of this voter. It proves that a vote with this voter's cookie was sent by our own page.
    pub fn form_token(&self, keys: &CookieKeys) -> String {
        let signature = keys.current.sign(Purpose::Token, &[&self.voter.to_bytes()]);
        URL_SAFE_NO_PAD.encode(&signature[..TOKEN_BYTES])
    }

    /// Checks the token of a form that came with this voter's cookie.
    pub fn check_form_token(&self, token: Option<&str>, keys: &CookieKeys) -> FormToken {
        match token {
            None => FormToken::None,
            Some(_) if !self.has_cookie => FormToken::WithoutCookie,
            Some(token) if self.is_form_token(token, keys) => FormToken::Valid,
            Some(_) => FormToken::Invalid,
        }
    }

    /// Returns true if this is the form token of this voter, who has a cookie.
    fn is_form_token(&self, token: &str, keys: &CookieKeys) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        let parts = [&self.voter.to_bytes()[..]];
        self.has_cookie
            && token.len() == TOKEN_BYTES
            && keys
                .all()
                .any(|key| key.verifies(Purpose::Token, &parts, &token))
    }
}

/// Scheme that a browser used, possibly behind proxies.
enum Scheme {
    Http,
    Https,
    Unknown,
}

/// Returns the scheme that the browser used. The headers are not trusted: they only decide which cookie this client gets.
fn browser_scheme(headers: &HeaderMap) -> Scheme {
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| Origin::parse(origin.to_str().ok()?));
    let is_https = origin.map(|origin| origin.is_https).or_else(|| {
        let scheme = forwarded_scheme(headers)?;
        Some(scheme.eq_ignore_ascii_case("https"))
    });
    match is_https {
        Some(true) => Scheme::Https,
        Some(false) => Scheme::Http,
        // Over HTTP browsers send fetch metadata to localhost only.
        None if csrf::has_fetch_metadata(headers) => Scheme::Https,
        None => Scheme::Unknown,
    }
}

/// Returns the values of all cookies with this name, without the quotes that some clients put around a value.
///
/// Pairs are parsed one by one and as bytes, so that an invalid cookie of another application on this host has no effect.
/// Source: <https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1>.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let headers = headers.get_all(header::COOKIE).into_iter();
    headers
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(move |pair| {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            let value = value
                .trim_ascii_start()
                .strip_prefix(b"=")?
                .trim_ascii_start();
            let unquoted = value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""));
            Some(unquoted.unwrap_or(value))
        })
}

/// Returns the value of a cookie with this payload.
pub(crate) fn sign_payload(mut payload: Vec<u8>, name: &str, key: &Key) -> String {
    let signature = key.sign(Purpose::Cookie, &[name.as_bytes(), b"=", &payload]);
    payload.extend(signature);
    URL_SAFE_NO_PAD.encode(payload)
}

/// Returns the voter of this cookie if its signature is valid and it is not too old.
fn decode_cookie(
    value: &[u8],
    name: &str,
    key: &Key,
    context: CookieContext<'_>,
) -> Option<Identity> {
    let value = URL_SAFE_NO_PAD.decode(value).ok()?;
    let (payload, signature) = value.split_last_chunk::<SIGNATURE_BYTES>()?;
    let parts = [name.as_bytes(), b"=", payload];
    if !key.verifies(Purpose::Cookie, &parts, signature) {
        return None;
    }
    let rest = payload.strip_prefix(&[VERSION])?;
    let (voter, rest) = rest.split_first_chunk()?;
    let (made_at, rest) = rest.split_first_chunk()?;
    let (poll_length, rest) = rest.split_first()?;
    let (poll, choice) = rest.split_at_checked((*poll_length).into())?;
    let made_at = i64::from_be_bytes(*made_at);
    let age = context.now.as_second().saturating_sub(made_at);
    if age > MAX_AGE_SECONDS {
        return None;
    }
    let is_current = poll == context.poll.as_bytes();
    let choice = if is_current { choice } else { b"" };
    Some(Identity {
        voter: VoterId::from_bytes(*voter),
        last_choice: std::str::from_utf8(choice).ok()?.to_owned(),
        has_cookie: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;
    use proptest::prelude::*;

    const NOW: CookieContext<'_> = CookieContext {
        now: Timestamp::constant(1_800_000_000, 0),
        poll: "0a1b2c3d",
        path: "/",
    };

    fn keys(current: &str, previous: Option<&str>, secure: bool) -> CookieKeys {
        CookieKeys::new(
            Some(&current.repeat(64)),
            previous.map(|hex| hex.repeat(64)).as_deref(),
            None,
            secure,
        )
        .unwrap()
    }

    fn voter() -> Identity {
        Identity {
            voter: VoterId::random(),
            last_choice: "a".into(),
            has_cookie: true,
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                name.parse().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn set(identity: &Identity, keys: &CookieKeys, request: &HeaderMap) -> Vec<String> {
        let AppendHeaders(cookies) = identity.set_cookies(keys, NOW, request);
        cookies
            .map(|(_, cookie)| cookie.to_str().unwrap().to_owned())
            .collect()
    }

    /// Returns the name and value of the cookie that this voter gets.
    fn pair(identity: &Identity, keys: &CookieKeys) -> String {
        let request = headers(&[("sec-fetch-site", "same-origin")]);
        let cookie = set(identity, keys, &request).remove(0);
        cookie.split(';').next().unwrap().to_owned()
    }

    fn of(cookie: &str, keys: &CookieKeys) -> Identity {
        Identity::from_cookies(&headers(&[("cookie", cookie)]), keys, NOW)
    }

    #[test]
    fn a_voter_is_recognised_among_other_cookies() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let pair = pair(&voter, &keys);
        let (name, value) = pair.split_once('=').unwrap();
        for cookie in [
            pair.clone(),
            format!("name=Jörg; {pair}"),
            format!("a=\"b; {pair}; c"),
            format!("{name}=\"{value}\""),
            format!("x=y;{pair};=;"),
            format!(" {name} = {value} "),
            format!("{name}=forged; {name}=\"\"; {pair}"),
        ] {
            assert_eq!(of(&cookie, &keys), voter, "{cookie}");
        }
        let mut latin_1 = b"name=J\xf6rg; ".to_vec();
        latin_1.extend(pair.as_bytes());
        let latin_1 = HeaderValue::from_bytes(&latin_1).unwrap();
        let request = HeaderMap::from_iter([(header::COOKIE, latin_1)]);
        assert_eq!(Identity::from_cookies(&request, &keys, NOW), voter);
        let two_headers = headers(&[("cookie", "x=y"), ("cookie", &pair)]);
        assert_eq!(Identity::from_cookies(&two_headers, &keys, NOW), voter);
    }

    #[test]
    fn the_value_needs_no_quotes_and_no_escapes() {
        let pair = pair(&voter(), &keys("ab", None, false));
        let (_, value) = pair.split_once('=').unwrap();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(value.bytes().all(plain), "{value}");
    }

    #[test]
    fn a_forged_or_altered_cookie_is_a_new_voter() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let pair = pair(&voter, &keys);
        let (name, value) = pair.split_once('=').unwrap();
        let mut altered = URL_SAFE_NO_PAD.decode(value).unwrap();
        altered[5] ^= 1;
        let moved = pair.replace("voter_id_", "__Host-voter_id_");
        for cookie in [
            format!("{name}={}", URL_SAFE_NO_PAD.encode(&altered)),
            format!("{name}={}", &value[..value.len() - 4]),
            format!("{name}={}", voter.voter),
            format!("{name}="),
            format!("x{pair}"),
            format!("voter_id={value}"),
            moved,
        ] {
            let identity = of(&cookie, &keys);
            assert!(
                !identity.has_cookie && identity.voter != voter.voter,
                "{cookie}"
            );
        }
    }

    #[test]
    fn installations_with_different_keys_ignore_each_others_cookies() {
        let (one, other) = (keys("ab", None, false), keys("cd", None, false));
        let (in_one, in_other) = (voter(), voter());
        let both = format!("{}; {}", pair(&in_one, &one), pair(&in_other, &other));
        assert_ne!(one.current.name, other.current.name);
        assert_eq!((of(&both, &one), of(&both, &other)), (in_one, in_other));
    }

    #[test]
    fn the_previous_key_verifies_and_a_removed_one_does_not() {
        let voter = voter();
        let old = keys("ab", None, false);
        let (cookie, token) = (pair(&voter, &old), voter.form_token(&old));
        let rotated = keys("cd", Some("ab"), false);
        assert_eq!(of(&cookie, &rotated), voter);
        assert!(voter.is_form_token(&token, &rotated));
        assert!(!of(&cookie, &keys("cd", None, false)).has_cookie);
        let newer = Identity {
            last_choice: "b".into(),
            ..voter
        };
        let both = format!("{cookie}; {}", pair(&newer, &rotated));
        assert_eq!(
            of(&both, &rotated),
            newer,
            "the cookie of the current key takes precedence"
        );
    }

    #[test]
    fn a_choice_of_another_poll_is_ignored_and_the_voter_is_recognised() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let request = headers(&[("cookie", &pair(&voter, &keys))]);
        let other = CookieContext {
            poll: "ffffffff",
            ..NOW
        };
        let identity = Identity::from_cookies(&request, &keys, other);
        assert_eq!((identity.voter, &*identity.last_choice), (voter.voter, ""));
        assert!(identity.has_cookie);
    }

    #[test]
    fn a_cookie_expires_after_400_days() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let request = headers(&[("cookie", &pair(&voter, &keys))]);
        let after = |hours: i64| {
            let now = NOW.now + hours.hours();
            Identity::from_cookies(&request, &keys, CookieContext { now, ..NOW })
        };
        assert_eq!(after(400 * 24), voter);
        assert_eq!(after(-24), voter, "another replica's clock");
        assert!(!after(400 * 24 + 1).has_cookie);
    }

    #[test]
    fn scripts_and_other_sites_cannot_access_the_cookie() {
        let program = HeaderMap::new();
        let plain = set(&voter(), &keys("ab", None, false), &program);
        assert_eq!(plain.len(), 1);
        let attributes = "; HttpOnly; SameSite=Lax; Max-Age=34560000; Path=/";
        assert!(plain[0].starts_with("voter_id_") && plain[0].ends_with(attributes));
        let https = headers(&[("origin", "https://a.example")]);
        let over_https = set(&voter(), &keys("ab", None, true), &https);
        assert_eq!(over_https.len(), 1);
        assert!(over_https[0].starts_with("__Host-voter_id_"));
        assert!(over_https[0].ends_with(&format!("{attributes}; Secure")));
    }

    #[test]
    fn a_browser_that_uses_http_gets_a_cookie_that_it_keeps() {
        let keys = keys("ab", None, true);
        let names = |request: &[(&'static str, &str)]| {
            let cookies = set(&voter(), &keys, &headers(request));
            let names = cookies.iter().map(|cookie| cookie.starts_with("__Host-"));
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(&[("origin", "http://a.example")]), [false]);
        assert_eq!(names(&[("x-forwarded-proto", "http")]), [false]);
        assert_eq!(names(&[("forwarded", "for=1.2.3.4;proto=http")]), [false]);
        assert_eq!(names(&[("x-forwarded-proto", "https, http")]), [true]);
        assert_eq!(names(&[("sec-fetch-site", "none")]), [true]);
        assert_eq!(names(&[]), [true, false]);
        // With either cookie it is the same voter.
        let voter = voter();
        for cookie in set(&voter, &keys, &HeaderMap::new()) {
            assert_eq!(of(cookie.split(';').next().unwrap(), &keys), voter);
        }
    }

    #[test]
    fn a_form_token_is_valid_for_one_voter() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let token = voter.form_token(&keys);
        assert!(voter.is_form_token(&token, &keys));
        let without_cookie = Identity {
            has_cookie: false,
            ..voter.clone()
        };
        assert!(!without_cookie.is_form_token(&token, &keys));
        assert!(!self::voter().is_form_token(&token, &keys));
        for bad in ["", &token[1..], "é"] {
            assert!(!voter.is_form_token(bad, &keys), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_cookies_never_panics(cookie: Vec<u8>, value: Vec<u8>) {
            let keys = keys("ab", None, false);
            let named = format!("{}={}", keys.current.name, URL_SAFE_NO_PAD.encode(value));
            for cookie in [cookie, named.into_bytes()] {
                if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
                    let request = HeaderMap::from_iter([(header::COOKIE, cookie)]);
                    prop_assert!(!Identity::from_cookies(&request, &keys, NOW).has_cookie);
                }
            }
        }
    }
}
