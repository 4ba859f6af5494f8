//! Protection against cross-site requests: a page of another site must not vote for its visitors, nor change their votes.
//!
//! Checked in this order:
//!
//! 1. `Sec-Fetch-Site`, which browsers send over HTTPS and to localhost (<https://www.w3.org/TR/fetch-metadata/>).
//!    `same-origin` and `none` are accepted; others only from an origin in the settings.
//! 2. Neither that nor `Origin`: the client is a program, not a browser, and accepted.
//! 3. `Origin` against all names that this site may have: `Host`, the host in the headers of proxies, and the origins in the
//!    settings.
//! 4. The token in our own form, bound to the voter whose cookie is sent with it. It works behind proxies that change `Host`:
//!    a page of another site cannot read the token, and the cookie is `SameSite=Lax`.
//!
//! The names that proxies send (`X-Forwarded-Host`, `Forwarded`) are accepted from every client, not only from trusted
//! proxies. The attacker here is a page in the voter's browser, and a page cannot send these headers: without a preflight,
//! which is never granted for votes, it sets only `Accept`, `Accept-Language`, `Content-Language`, `Content-Type` and `Range`
//! (<https://fetch.spec.whatwg.org/#cors-safelisted-request-header>).
//!
//! A `Host` without a port matches an `Origin` with any. So over plain HTTP another application on another port of the
//! same host is accepted. The browser sends it our cookies anyway, because cookies ignore ports.

use axum::http::{HeaderMap, header};
use retry::Throttle;

use super::{Origin, PublicOrigins, forwarded_hosts};

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";
/// Maximum number of characters of a header in the log.
const MAX_LOGGED_CHARS: usize = 100;

/// Rejects requests from pages of other sites.
pub struct CsrfCheck {
    own: PublicOrigins,
    log: Throttle,
}

/// Reason why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrfError {
    /// A page of another site sent it.
    CrossSite,
    /// The page that sent it may be ours, but the cookie that its token belongs to is missing.
    NoCookie,
}

/// Outcome of checking a form's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormToken {
    /// The form has no token.
    None,
    /// The token of the voter whose cookie was sent.
    Valid,
    /// The token of another voter.
    Invalid,
    /// A token whose cookie is missing.
    WithoutCookie,
}

impl CsrfCheck {
    /// Creates a check for pages at these origins.
    #[must_use]
    pub fn new(own: PublicOrigins) -> Self {
        Self {
            own,
            log: Throttle::default(),
        }
    }

    /// Accepts requests that our own page or a program sent.
    ///
    /// # Errors
    /// A page of another site sent the request, or the cookie of the form's token is missing.
    pub fn check(&self, headers: &HeaderMap, token: FormToken) -> Result<(), CsrfError> {
        let lacks_metadata = fetch_site(headers).is_none();
        if is_own(headers, &self.own) || (lacks_metadata && token == FormToken::Valid) {
            return Ok(());
        }
        self.log(headers);
        Err(if lacks_metadata && token == FormToken::WithoutCookie {
            CsrfError::NoCookie
        } else {
            CsrfError::CrossSite
        })
    }

    fn log(&self, headers: &HeaderMap) {
        let Some(count) = self.log.count_event() else {
            return;
        };
        let sent = |name: &str| {
            let value = headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()));
            value.map(|value| value.chars().take(MAX_LOGGED_CHARS).collect::<String>())
        };
        tracing::warn!(
            count,
            origin = ?sent("origin"),
            host = ?sent("host"),
            x_forwarded_host = ?sent("x-forwarded-host"),
            sec_fetch_site = ?sent(SEC_FETCH_SITE),
            "requests from another site were rejected; if it is this site, add its origin to PUBLIC_ORIGINS"
        );
    }
}

/// Returns a header as text; empty if it is not text, which matches no known value.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?;
    Some(value.to_str().unwrap_or_default())
}

fn fetch_site(headers: &HeaderMap) -> Option<&str> {
    text(headers, SEC_FETCH_SITE)
}

fn is_own(headers: &HeaderMap, own: &PublicOrigins) -> bool {
    let origin = text(headers, header::ORIGIN.as_str());
    let (site, origin) = match (fetch_site(headers), origin) {
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

/// Returns true if the browser sends fetch metadata, so that its forms need no token. It sends them with all requests to a site
/// or with none.
#[must_use]
pub fn has_fetch_metadata(headers: &HeaderMap) -> bool {
    headers.contains_key(SEC_FETCH_SITE) || headers.contains_key(SEC_FETCH_MODE)
}

/// Returns true if the browser says that the request comes from a page of this origin.
#[must_use]
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    fetch_site(headers) == Some("same-origin")
}

/// Returns true if the browser will show the response as its page; false for scripts and programs.
#[must_use]
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
        token: FormToken,
        own: &[&str],
    ) -> Result<(), CsrfError> {
        let own = own.iter().fold(PublicOrigins::default(), |own, origin| {
            own.with_page(origin)
        });
        CsrfCheck::new(own).check(&headers(pairs), token)
    }

    fn allowed(pairs: &[(&'static str, &'static str)]) -> bool {
        check(pairs, FormToken::None, &[]).is_ok()
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
    fn our_page_may_vote_through_a_proxy_that_forwards_the_host() {
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
    fn our_page_may_vote_from_the_configured_origins() {
        let own = ["https://poll.example.org/vote", "http://10.0.0.5:8088"];
        for origin in ["https://poll.example.org", "http://10.0.0.5:8088"] {
            let upstream = [HOST, ("origin", origin)];
            assert!(check(&upstream, FormToken::None, &own).is_ok(), "{origin}");
            let cross_site = [HOST, ("origin", origin), ("sec-fetch-site", "cross-site")];
            assert!(
                check(&cross_site, FormToken::None, &own).is_ok(),
                "{origin}"
            );
        }
        for origin in ["http://poll.example.org", "http://10.0.0.5", "null"] {
            let upstream = [HOST, ("origin", origin)];
            assert!(check(&upstream, FormToken::None, &own).is_err(), "{origin}");
        }
    }

    #[test]
    fn a_valid_token_is_accepted_if_the_host_does_not_match() {
        for origin in ["http://poll.example.org", "null"] {
            let upstream = [("host", "127.0.0.1:8080"), ("origin", origin)];
            assert!(check(&upstream, FormToken::Valid, &[]).is_ok(), "{origin}");
            for token in [FormToken::None, FormToken::Invalid] {
                let error = check(&upstream, token, &[]).unwrap_err();
                assert_eq!(error, CsrfError::CrossSite);
            }
            let error = check(&upstream, FormToken::WithoutCookie, &[]).unwrap_err();
            assert_eq!(error, CsrfError::NoCookie);
        }
    }

    #[test]
    fn other_sites_may_not_vote() {
        let host = ("host", "vote.example");
        assert!(!allowed(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!allowed(&[host, ("sec-fetch-site", "same-site")]));
        for site in ["cross-site", "same-site"] {
            let own = ("origin", "http://vote.example");
            assert!(
                !allowed(&[host, ("sec-fetch-site", site), own]),
                "{site}: fetch metadata take precedence"
            );
        }
        let foreign = [host, ("sec-fetch-site", "cross-site")];
        assert!(
            check(&foreign, FormToken::Valid, &[]).is_err(),
            "even with a token"
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
    fn navigations_are_distinguished_from_scripts_and_programs() {
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
