//! Whether a vote was sent from our own page: another site must not make its visitors vote.

use axum::http::{HeaderMap, header};

use crate::refusal::Refusal;

/// Accepts what our own page or no page at all sent.
///
/// Browsers say in `Sec-Fetch-Site` or `Origin` where a request comes from; programs send neither.
/// Source: <https://www.w3.org/TR/fetch-metadata/>.
pub fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    let ours = match (value("sec-fetch-site"), value(header::ORIGIN.as_str())) {
        (Some("same-origin" | "none"), _) | (None, None) => true,
        (_, Some(origin)) => value(header::HOST.as_str()).is_some_and(|host| is_at(origin, host)),
        (Some(_), None) => false,
    };
    if ours {
        Ok(())
    } else {
        Err(Refusal::CrossSite)
    }
}

fn is_at(origin: &str, host: &str) -> bool {
    let authority = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(pairs: &[(&'static str, &'static str)]) -> bool {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        check(&pairs.iter().map(pair).collect()).is_ok()
    }

    #[test]
    fn our_page_and_programs_may_vote() {
        let host = ("host", "vote.example:8080");
        assert!(allowed(&[host]));
        assert!(allowed(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(allowed(&[host, ("sec-fetch-site", "none")]));
        assert!(allowed(&[host, ("origin", "http://vote.example:8080")]));
        assert!(allowed(&[host, ("origin", "https://VOTE.example:8080")]));
    }

    #[test]
    fn other_sites_may_not() {
        let host = ("host", "vote.example");
        assert!(!allowed(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!allowed(&[host, ("sec-fetch-site", "same-site")]));
        assert!(!allowed(&[
            host,
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://evil.example")
        ]));
        assert!(!allowed(&[host, ("origin", "http://evil.example")]));
        assert!(!allowed(&[
            host,
            ("origin", "http://vote.example.evil.example")
        ]));
        assert!(!allowed(&[host, ("origin", "null")]));
        assert!(!allowed(&[("origin", "http://vote.example")]));
    }
}
