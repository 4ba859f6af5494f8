//! Who votes: a signed cookie, which nobody can make up and which remembers the choice.
//!
//! The cookie's value is base64url without padding, which no client quotes or escapes, of a payload and its signature:
//!
//! | bytes | |
//! |---|---|
//! | 1 | the version of this format: 1 |
//! | 16 | the voter's id |
//! | 8 | when the cookie was made, in seconds since the Unix epoch, big-endian |
//! | 1 and as many as it says | the id of the poll in which the voter chose |
//! | the others but for 32 | the key of the option that was chosen; none: the voter has not voted yet |
//! | 32 | HMAC-SHA256 of the cookie's name and all that |

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::AppendHeaders,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use poll::ballot::{Choice, VoterId};
use web::{Origin, forwarded_scheme};

use crate::{
    cookie_key::{CookieKeys, Key, Purpose, SIGNATURE_BYTES},
    csrf,
};

/// Closed to scripts and other sites, and kept for 400 days: no browser keeps a cookie longer.
/// Source: <https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html#section-5.5>.
const ATTRIBUTES: &str = "; HttpOnly; SameSite=Lax; Max-Age=34560000; Path=";
const MAX_AGE_SECONDS: i64 = 34_560_000;
const VERSION: u8 = 1;
const TOKEN_BYTES: usize = 16;

/// A voter, as the cookie tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub voter: VoterId,
    /// The key of the option last voted for in the current poll; empty: none.
    pub last_choice: String,
    /// True for a voter known by a cookie, false for a new one.
    pub has_cookie: bool,
}

/// The moment and the poll for which a cookie is read or made.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Now.
    pub now: Timestamp,
    /// The current poll's id.
    pub poll: &'a str,
    /// The path below which the browser sends it back.
    pub path: &'a str,
}

impl Identity {
    /// The voter this request comes from: a new one where the cookie is missing, made up, too old, or another voter's.
    ///
    /// Over HTTPS a browser sends both cookies where it also came by HTTP before; then the one of HTTPS is the voter's.
    pub fn of(headers: &HeaderMap, keys: &CookieKeys, context: Context<'_>) -> Self {
        let names = keys
            .all()
            .flat_map(|key| [(key, &key.secure_name), (key, &key.name)]);
        let known = || {
            names
                .into_iter()
                .flat_map(|(key, name)| cookies(headers, name).map(move |value| (key, name, value)))
                .find_map(|(key, name, value)| read(value, name, key, context))
        };
        let has_cookies = headers.contains_key(header::COOKIE);
        has_cookies.then(known).flatten().unwrap_or_else(|| Self {
            voter: VoterId::random(),
            last_choice: String::new(),
            has_cookie: false,
        })
    }

    /// The headers `Set-Cookie` that make this voter known again.
    ///
    /// One, unless browsers should come over HTTPS and it is not known whether this one did: where it came by HTTP, it drops
    /// the cookie that is for HTTPS only.
    pub fn set_cookies(
        &self,
        keys: &CookieKeys,
        context: Context<'_>,
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

    fn set_cookie(&self, name: &str, secure: &str, key: &Key, context: Context<'_>) -> HeaderValue {
        let mut value = Vec::with_capacity(128);
        value.push(VERSION);
        value.extend(self.voter.to_bytes());
        value.extend(context.now.as_second().to_be_bytes());
        value.push(u8::try_from(context.poll.len()).expect("a poll's id has at most 32 bytes"));
        value.extend(context.poll.as_bytes());
        value.extend(self.last_choice.as_bytes());
        let value = signed(value, name, key);
        // Browsers take the name of the secure one with no other path.
        let path = if secure.is_empty() { context.path } else { "/" };
        let cookie = [name, "=", &value, ATTRIBUTES, path, secure].concat();
        HeaderValue::try_from(cookie).expect("names and base64url are ASCII")
    }

    /// The same voter after this vote.
    pub fn with_choice(self, choice: &Choice) -> Self {
        Self {
            last_choice: choice.to_string(),
            ..self
        }
    }

    /// The new voter of this attempt to vote. The attempt may be repeated: its response may be lost before there is a cookie.
    ///
    /// The text is secret to the browser that made it up. The id is its signature, so that clients cannot choose an id.
    pub fn of_attempt(self, attempt: &str, keys: &CookieKeys) -> Self {
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

    /// The token in a form for this voter alone: proof that a vote with this voter's cookie comes from our own page.
    pub fn form_token(&self, keys: &CookieKeys) -> String {
        let signature = keys.current.sign(Purpose::Token, &[&self.voter.to_bytes()]);
        URL_SAFE_NO_PAD.encode(&signature[..TOKEN_BYTES])
    }

    /// Returns true if this is the token of a form for this voter, who has a cookie.
    pub fn is_token(&self, token: &str, keys: &CookieKeys) -> bool {
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

/// The scheme by which a browser came, where proxies stand between.
enum Scheme {
    Http,
    Https,
    Unknown,
}

/// The scheme by which the browser came. Anybody may say anything here: it only decides which cookie the same client gets.
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
        // Over HTTP browsers send this header to this machine only.
        None if csrf::has_fetch_metadata(headers) => Scheme::Https,
        None => Scheme::Unknown,
    }
}

/// The values of all cookies of this name.
///
/// Pair by pair and as bytes, so that a cookie of another application on this host, which may hold anything, spoils
/// nothing; without the quotes that some clients put around a value.
/// Source: <https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1>.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
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

/// The value of a cookie with this content.
pub(crate) fn signed(mut payload: Vec<u8>, name: &str, key: &Key) -> String {
    let signature = key.sign(Purpose::Cookie, &[name.as_bytes(), b"=", &payload]);
    payload.extend(signature);
    URL_SAFE_NO_PAD.encode(payload)
}

/// The voter of this cookie, if it is genuine and not too old.
fn read(value: &[u8], name: &str, key: &Key, context: Context<'_>) -> Option<Identity> {
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

    const NOW: Context<'_> = Context {
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

    /// The pair of the cookie that this voter is given.
    fn pair(identity: &Identity, keys: &CookieKeys) -> String {
        let request = headers(&[("sec-fetch-site", "same-origin")]);
        let cookie = set(identity, keys, &request).remove(0);
        cookie.split(';').next().unwrap().to_owned()
    }

    fn of(cookie: &str, keys: &CookieKeys) -> Identity {
        Identity::of(&headers(&[("cookie", cookie)]), keys, NOW)
    }

    #[test]
    fn a_voter_is_known_again_whatever_stands_beside_the_cookie() {
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
        assert_eq!(Identity::of(&request, &keys, NOW), voter);
        let two_headers = headers(&[("cookie", "x=y"), ("cookie", &pair)]);
        assert_eq!(Identity::of(&two_headers, &keys, NOW), voter);
    }

    #[test]
    fn the_value_needs_no_quotes_and_no_escapes() {
        let pair = pair(&voter(), &keys("ab", None, false));
        let (_, value) = pair.split_once('=').unwrap();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(value.bytes().all(plain), "{value}");
    }

    #[test]
    fn a_made_up_or_altered_cookie_is_a_new_voter_and_never_another_one() {
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
    fn installations_with_different_keys_do_not_know_each_others_cookies() {
        let (one, other) = (keys("ab", None, false), keys("cd", None, false));
        let (in_one, in_other) = (voter(), voter());
        let both = format!("{}; {}", pair(&in_one, &one), pair(&in_other, &other));
        assert_ne!(one.current.name, other.current.name);
        assert_eq!((of(&both, &one), of(&both, &other)), (in_one, in_other));
    }

    #[test]
    fn a_rotated_key_still_verifies_and_a_forgotten_one_does_not() {
        let voter = voter();
        let old = keys("ab", None, false);
        let (cookie, token) = (pair(&voter, &old), voter.form_token(&old));
        let rotated = keys("cd", Some("ab"), false);
        assert_eq!(of(&cookie, &rotated), voter);
        assert!(voter.is_token(&token, &rotated));
        assert!(!of(&cookie, &keys("cd", None, false)).has_cookie);
        let newer = Identity {
            last_choice: "b".into(),
            ..voter
        };
        let both = format!("{cookie}; {}", pair(&newer, &rotated));
        assert_eq!(of(&both, &rotated), newer, "the current key's goes first");
    }

    #[test]
    fn a_choice_of_another_poll_is_forgotten_and_its_voter_is_not() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let request = headers(&[("cookie", &pair(&voter, &keys))]);
        let other = Context {
            poll: "ffffffff",
            ..NOW
        };
        let identity = Identity::of(&request, &keys, other);
        assert_eq!((identity.voter, &*identity.last_choice), (voter.voter, ""));
        assert!(identity.has_cookie);
    }

    #[test]
    fn a_cookie_ends_after_400_days() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let request = headers(&[("cookie", &pair(&voter, &keys))]);
        let after = |hours: i64| {
            let now = NOW.now + hours.hours();
            Identity::of(&request, &keys, Context { now, ..NOW })
        };
        assert_eq!(after(400 * 24), voter);
        assert_eq!(after(-24), voter, "another replica's clock");
        assert!(!after(400 * 24 + 1).has_cookie);
    }

    #[test]
    fn the_cookie_is_closed_to_scripts_and_other_sites() {
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
    fn a_browser_that_came_by_http_gets_a_cookie_that_it_keeps() {
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
        // Whichever comes back, it is the same voter.
        let voter = voter();
        for cookie in set(&voter, &keys, &HeaderMap::new()) {
            assert_eq!(of(cookie.split(';').next().unwrap(), &keys), voter);
        }
    }

    #[test]
    fn a_token_is_one_voters_alone() {
        let (keys, voter) = (keys("ab", None, false), voter());
        let token = voter.form_token(&keys);
        assert!(voter.is_token(&token, &keys));
        let without_cookie = Identity {
            has_cookie: false,
            ..voter.clone()
        };
        assert!(!without_cookie.is_token(&token, &keys));
        assert!(!self::voter().is_token(&token, &keys));
        for bad in ["", &token[1..], "é"] {
            assert!(!voter.is_token(bad, &keys), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_cookie_makes_reading_panic(cookie: Vec<u8>, value: Vec<u8>) {
            let keys = keys("ab", None, false);
            let named = format!("{}={}", keys.current.name, URL_SAFE_NO_PAD.encode(value));
            for cookie in [cookie, named.into_bytes()] {
                if let Ok(cookie) = HeaderValue::from_bytes(&cookie) {
                    let request = HeaderMap::from_iter([(header::COOKIE, cookie)]);
                    prop_assert!(!Identity::of(&request, &keys, NOW).has_cookie);
                }
            }
        }
    }
}
