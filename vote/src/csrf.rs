//! Protection against cross-site requests: a page of another site must not vote for its visitors, nor change their votes.
//!
//! Checked in this order:
//!
//! 1. `Sec-Fetch-Site`, which browsers send over HTTPS and to localhost (<https://www.w3.org/TR/fetch-metadata/>).
//!    `same-origin` and `none` are accepted; others only from an origin in the settings.
//! 2. Neither that nor `Origin`: it is a program, not a browser, and accepted.
//! 3. `Origin` against all names that this site may have: `Host`, the host that proxies say the browser asked for, and the
//!    origins in the settings.
//! 4. The token in our own form, bound to the voter whose cookie comes with it. It works behind proxies that change `Host`:
//!    a page of another site cannot read the token, and the cookie is `SameSite=Lax`.
//!
//! The names that proxies send (`X-Forwarded-Host`, `Forwarded`) are accepted from every client, not only from trusted
//! proxies. The attacker here is a page in the voter's browser, and a page cannot send these headers: without a preflight,
//! which is never granted for votes, it sets only `Accept`, `Accept-Language`, `Content-Language`, `Content-Type` and `Range`
//! (<https://fetch.spec.whatwg.org/#cors-safelisted-request-header>).
//!
//! A `Host` without a port matches an `Origin` with any. So over plain HTTP another application on another port of the
//! same host is accepted. It gets this one's cookies from the browser anyway, because cookies ignore ports.

use axum::http::{HeaderMap, header};
use retry::Throttle;
use web::{Origin, PublicOrigins, forwarded_hosts};

use crate::refusal::Refusal;

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";
/// The number of characters of a header that are logged.
const LOGGED: usize = 100;

/// Refuses votes from pages of other sites.
pub struct CsrfCheck {
    own: PublicOrigins,
    refused: Throttle,
}

/// The outcome of checking a form's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// It is no form of ours, or one that needed no token.
    None,
    /// The token of the voter whose cookie came with it.
    Valid,
    /// Another one, with another voter's cookie.
    Invalid,
    /// The cookie to which it belongs did not come.
    WithoutCookie,
}

impl CsrfCheck {
    /// A check for pages at these origins.
    pub fn new(own: PublicOrigins) -> Self {
        Self {
            own,
            refused: Throttle::default(),
        }
    }

    /// Accepts what our own page or a program sent.
    pub fn check(&self, headers: &HeaderMap, token: Token) -> Result<(), Refusal> {
        let is_silent = site(headers).is_none();
        if is_own(headers, &self.own) || (is_silent && token == Token::Valid) {
            return Ok(());
        }
        self.log(headers);
        Err(if is_silent && token == Token::WithoutCookie {
            Refusal::NoCookie
        } else {
            Refusal::CrossSite
        })
    }

    fn log(&self, headers: &HeaderMap) {
        let Some(count) = self.refused.count_event() else {
            return;
        };
        let sent = |name: &str| {
            let value = headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()));
            value.map(|value| value.chars().take(LOGGED).collect::<String>())
        };
        tracing::warn!(
            count,
            origin = ?sent("origin"),
            host = ?sent("host"),
            x_forwarded_host = ?sent("x-forwarded-host"),
            sec_fetch_site = ?sent(SEC_FETCH_SITE),
            "votes from another site were refused; if it is this one, add its origin to PUBLIC_ORIGINS"
        );
    }
}

/// A header as text; empty where it is none, which is nothing that we know.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or_default())
}

fn site(headers: &HeaderMap) -> Option<&str> {
    text(headers, SEC_FETCH_SITE)
}

fn is_own(headers: &HeaderMap, own: &PublicOrigins) -> bool {
    let origin = text(headers, header::ORIGIN.as_str());
    let (site, origin) = match (site(headers), origin) {
        (Some("same-origin" | "none"), _) | (None, None) => return true,
        (Some(_), None) => return false,
        (site, Some(origin)) => (site, origin),
    };
    let Some(origin) = Origin::parse(origin) else {
        return false;
    };
    if own.iter().any(|own| own == origin) {
        return true;
    }
    let host = text(headers, header::HOST.as_str());
    site.is_none()
        && host
            .into_iter()
            .chain(forwarded_hosts(headers))
            .any(|host| origin.matches_host(host))
}

/// Returns true if the browser sends by itself where requests come from, so that its forms need no token. It sends that with
/// all requests to a site or with none.
pub fn has_fetch_metadata(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(SEC_FETCH_MODE)
}

/// Returns true if the browser says that the request comes from a page of this origin.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    site(headers) == Some("same-origin")
}

/// Returns true if the browser will show the response as its page; false for scripts and programs.
pub fn is_navigation(headers: &HeaderMap) -> bool {
    if let Some(mode) = text(headers, SEC_FETCH_MODE) {
        return mode == "navigate";
    }
    let accepts_html = || {
        text(headers, header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"))
    };
    let is_browser = headers.contains_key(header::ORIGIN)
        || headers.contains_key(header::UPGRADE_INSECURE_REQUESTS);
    is_browser && accepts_html()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: (&str, &str) = ("host", "vote.example:8080");

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn check(
        pairs: &[(&'static str, &'static str)],
        token: Token,
        own: &[&str],
    ) -> Result<(), Refusal> {
        let own = own.iter().fold(PublicOrigins::default(), |own, origin| {
            own.with_page(origin)
        });
        CsrfCheck::new(own).check(&headers(pairs), token)
    }

    fn allowed(pairs: &[(&'static str, &'static str)]) -> bool {
        check(pairs, Token::None, &[]).is_ok()
    }

    #[test]
    fn our_page_and_programs_may_vote() {
        assert!(allowed(&[HOST]));
        assert!(allowed(&[HOST, ("sec-fetch-site", "same-origin")]));
        assert!(allowed(&[HOST, ("sec-fetch-site", "none")]));
        assert!(allowed(&[HOST, ("origin", "http://vote.example:8080")]));
        assert!(allowed(&[HOST, ("origin", "https://VOTE.example:8080")]));
    }

    #[test]
    fn our_page_may_vote_through_a_proxy_that_says_where_it_is() {
        let origin = ("origin", "http://poll.example.org:8088");
        let upstream = ("host", "127.0.0.1:8080");
        assert!(allowed(&[("host", "poll.example.org"), origin]));
        for (name, value) in [
            ("x-forwarded-host", "poll.example.org:8088"),
            ("x-forwarded-host", "poll.example.org"),
            ("x-forwarded-host", "poll.example.org:8088, inner.example"),
            (
                "forwarded",
                "for=192.0.2.1;host=\"poll.example.org:8088\";proto=http",
            ),
        ] {
            assert!(
                allowed(&[upstream, origin, (name, value)]),
                "{name}: {value}"
            );
        }
        assert!(!allowed(&[upstream, origin]));
        assert!(!allowed(&[
            upstream,
            origin,
            ("x-forwarded-host", "other.example")
        ]));
    }

    #[test]
    fn our_page_may_vote_from_the_origins_that_are_set() {
        let own = ["https://poll.example.org/vote", "http://10.0.0.5:8088"];
        for origin in ["https://poll.example.org", "http://10.0.0.5:8088"] {
            let upstream = [HOST, ("origin", origin)];
            assert!(check(&upstream, Token::None, &own).is_ok(), "{origin}");
            let cross_site = [HOST, ("origin", origin), ("sec-fetch-site", "cross-site")];
            assert!(check(&cross_site, Token::None, &own).is_ok(), "{origin}");
        }
        for origin in ["http://poll.example.org", "http://10.0.0.5", "null"] {
            let upstream = [HOST, ("origin", origin)];
            assert!(check(&upstream, Token::None, &own).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_token_proves_it_where_proxies_do_not() {
        for origin in ["http://poll.example.org", "null"] {
            let upstream = [("host", "127.0.0.1:8080"), ("origin", origin)];
            assert!(check(&upstream, Token::Valid, &[]).is_ok(), "{origin}");
            for token in [Token::None, Token::Invalid] {
                let refusal = check(&upstream, token, &[]).unwrap_err();
                assert!(matches!(refusal, Refusal::CrossSite), "{refusal:?}");
            }
            let refusal = check(&upstream, Token::WithoutCookie, &[]).unwrap_err();
            assert!(matches!(refusal, Refusal::NoCookie), "{refusal:?}");
        }
    }

    #[test]
    fn other_sites_may_not() {
        let host = ("host", "vote.example");
        assert!(!allowed(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!allowed(&[host, ("sec-fetch-site", "same-site")]));
        for site in ["cross-site", "same-site"] {
            let own = ("origin", "http://vote.example");
            assert!(
                !allowed(&[host, ("sec-fetch-site", site), own]),
                "{site}: the browser knows better"
            );
        }
        let foreign = [host, ("sec-fetch-site", "cross-site")];
        assert!(
            check(&foreign, Token::Valid, &[]).is_err(),
            "nor does a token help"
        );
        for origin in [
            "http://evil.example",
            "http://vote.example.evil.example",
            "http://evil.example/vote.example",
            "null",
            "",
        ] {
            assert!(!allowed(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!allowed(&[("origin", "http://vote.example")]));
    }

    #[test]
    fn navigations_are_told_from_scripts_and_programs() {
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(is_navigation(&headers(&[("sec-fetch-mode", "navigate")])));
        assert!(is_navigation(&headers(&[html, ("origin", "http://a")])));
        assert!(is_navigation(&headers(&[
            html,
            ("upgrade-insecure-requests", "1")
        ])));
        assert!(!is_navigation(&headers(&[
            html,
            ("sec-fetch-mode", "cors")
        ])));
        assert!(!is_navigation(&headers(&[
            ("accept", "*/*"),
            ("origin", "http://a")
        ])));
        assert!(!is_navigation(&headers(&[html])));
        assert!(!is_navigation(&HeaderMap::new()));
    }
}
