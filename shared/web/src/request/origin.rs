//! Origins of web pages: scheme, host and port, in the spellings of browsers and proxies.
//! Source: <https://www.rfc-editor.org/rfc/rfc6454>.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::HeaderMap;
use url::Url;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// An origin, borrowed from a header or a setting. The host may be in upper or lower case.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// True if the scheme is `https`, false if it is `http`.
    pub is_https: bool,
    host: &'a str,
    port: u16,
}

impl<'a> Origin<'a> {
    /// Parses `scheme://host[:port]`; `None` for another scheme, `null`, or a text that is not an origin.
    #[must_use]
    pub fn parse(raw: &'a str) -> Option<Self> {
        let (scheme, authority) = raw.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let (host, port) = host_and_port(authority)?;
        let default = if is_https { HTTPS_PORT } else { HTTP_PORT };
        Some(Self {
            is_https,
            host,
            port: port.unwrap_or(default),
        })
    }

    /// Returns true if this origin matches a host in `Host` or in the header of a proxy.
    ///
    /// A host without a port matches any port, because proxies leave the port out (nginx: `$host`). The default ports match each
    /// other, because the scheme between proxy and service may differ from the browser's.
    #[must_use]
    pub fn matches_host(self, host: &str) -> bool {
        let is_default = |port| matches!(port, HTTP_PORT | HTTPS_PORT);
        host_and_port(host).is_some_and(|(host, port)| {
            let same_port = port.is_none_or(|port| {
                port == self.port || (is_default(port) && is_default(self.port))
            });
            same_port && host.eq_ignore_ascii_case(self.host)
        })
    }
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        let scheme_and_port = |origin: &Self| (origin.is_https, origin.port);
        scheme_and_port(self) == scheme_and_port(other)
            && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// Splits `host[:port]`. An IPv6 address includes its brackets.
fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = authority.rfind(']').map_or(0, |end| end + 1);
    let colon = authority[end_of_host..].find(':');
    let (host, port) = match colon {
        Some(colon) => {
            let (host, port) = authority.split_at(end_of_host + colon);
            (host, Some(port[1..].parse().ok()?))
        }
        None => (authority, None),
    };
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ', ',']);
    is_host.then_some((host, port))
}

/// The origins at which browsers reach the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicOrigins(Vec<String>);

impl PublicOrigins {
    /// Returns true if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all of them.
    pub fn iter(&self) -> impl Iterator<Item = Origin<'_>> {
        self.0.iter().filter_map(|origin| Origin::parse(origin))
    }

    /// Adds the origin of the page at this URL.
    #[must_use]
    pub fn with_page(mut self, url: &str) -> Self {
        let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
        self.0.extend(origin);
        self
    }

    /// Returns true if the host of a request is one of these, an address, or `localhost`.
    ///
    /// This protects from DNS rebinding, in which a browser sends a name of the attacker's DNS. Addresses and `localhost` are safe,
    /// and load balancers probe with addresses. Ports are ignored: proxies change them.
    #[must_use]
    pub fn allow_host(&self, host: &str) -> bool {
        let Some((host, _)) = host_and_port(host) else {
            return false;
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let is_safe = address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost");
        is_safe
            || self
                .iter()
                .any(|origin| origin.host.eq_ignore_ascii_case(host))
    }
}

impl FromStr for PublicOrigins {
    type Err = InvalidPublicOrigin;

    fn from_str(raw: &str) -> Result<Self, InvalidPublicOrigin> {
        let origin = |part: &str| {
            // Browsers append a slash to a copied address.
            let part = part.trim();
            let origin = part.strip_suffix('/').unwrap_or(part);
            Origin::parse(origin)
                .map(|_| origin.to_ascii_lowercase())
                .ok_or_else(|| InvalidPublicOrigin(part.to_owned()))
        };
        raw.split(',')
            .map(origin)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for PublicOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// The text is not a public origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin; write http or https, the host, and the port if it is not the default one, separated by commas, \
     such as https://poll.example.org,http://10.0.0.5:8088"
)]
pub struct InvalidPublicOrigin(String);

/// Returns the requested hosts that proxies have forwarded: `X-Forwarded-Host`, and `host` in `Forwarded`
/// (<https://www.rfc-editor.org/rfc/rfc7239>). Each proxy of a chain may have added one.
pub fn forwarded_hosts(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let listed = values(headers, "x-forwarded-host").map(str::trim);
    listed.chain(forwarded(headers, "host"))
}

/// Returns the scheme between the client and the first proxy, from `X-Forwarded-Proto` or `proto` in `Forwarded`. A client may
/// have forged it.
#[must_use]
pub fn forwarded_scheme(headers: &HeaderMap) -> Option<&str> {
    let listed = values(headers, "x-forwarded-proto").map(str::trim);
    listed.chain(forwarded(headers, "proto")).next()
}

fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
}

fn forwarded<'a>(headers: &'a HeaderMap, parameter: &'static str) -> impl Iterator<Item = &'a str> {
    values(headers, "forwarded")
        .flat_map(|hop| hop.split(';'))
        .filter_map(move |pair| {
            let (name, value) = pair.split_once('=')?;
            let is_it = name.trim().eq_ignore_ascii_case(parameter);
            is_it.then(|| value.trim().trim_matches('"'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_default_port_equals_no_port() {
        for (one, other) in [
            ("http://a.example", "http://A.example:80"),
            ("https://a.example", "HTTPS://a.example:443"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(Origin::parse(one), Origin::parse(other), "{one}");
        }
        for (one, other) in [
            ("http://a.example", "https://a.example"),
            ("http://a.example", "http://a.example:8080"),
            ("http://a.example", "http://b.example"),
        ] {
            assert_ne!(Origin::parse(one), Origin::parse(other), "{one}");
        }
    }

    #[test]
    fn other_texts_are_not_origins() {
        for raw in [
            "",
            "null",
            "a.example",
            "ftp://a.example",
            "http://",
            "http://:80",
            "http://a.example:port",
            "http://a.example/",
            "http://user@a.example",
            "http://a.example:80:80",
        ] {
            assert_eq!(Origin::parse(raw), None, "{raw}");
        }
    }

    #[test]
    fn an_origin_matches_the_spellings_of_proxies() {
        for (origin, host) in [
            ("http://a.example", "a.example"),
            ("http://a.example", "A.EXAMPLE:80"),
            ("https://a.example", "a.example:443"),
            ("https://a.example", "a.example:80"),
            ("http://a.example:8088", "a.example:8088"),
            ("http://a.example:8088", "a.example"),
            ("http://[2001:db8::1]:8088", "[2001:db8::1]"),
        ] {
            assert!(
                Origin::parse(origin).unwrap().matches_host(host),
                "{origin} {host}"
            );
        }
        for (origin, host) in [
            ("http://a.example", "a.example.evil.example"),
            ("http://a.example.evil.example", "a.example"),
            ("http://a.example:8088", "a.example:8089"),
            ("http://a.example:8088", "a.example:80"),
            ("http://a.example", "127.0.0.1:8080"),
            ("http://a.example", ""),
        ] {
            assert!(
                !Origin::parse(origin).unwrap().matches_host(host),
                "{origin} {host}"
            );
        }
    }

    #[test]
    fn a_rebound_name_is_not_allowed() {
        let origins: PublicOrigins = "https://poll.example.org/, http://10.0.0.5:8088"
            .parse()
            .unwrap();
        for host in [
            "poll.example.org",
            "POLL.example.org:8080",
            "10.0.0.5:8088",
            "10.9.9.9",
            "[::1]:8080",
            "localhost:8080",
            "127.0.0.1",
        ] {
            assert!(origins.allow_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "poll.example.org.evil.example",
            "evil.example:8088",
            "localhost.evil.example",
            "",
        ] {
            assert!(!origins.allow_host(host), "{host}");
        }
        for bad in [
            "",
            "poll.example.org",
            "https://a.example/page",
            "https://a,,",
            "*",
        ] {
            let error = bad.parse::<PublicOrigins>().unwrap_err().to_string();
            assert!(
                error.contains("such as https://poll.example.org"),
                "{error}"
            );
        }
    }

    #[test]
    fn forwarded_hosts_and_schemes_are_found_in_both_spellings() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (name.parse().unwrap(), value.parse().unwrap())
            };
            pairs.iter().map(pair).collect::<HeaderMap>()
        };
        let both = headers(&[
            ("x-forwarded-host", "a.example:8088, b.example"),
            ("x-forwarded-proto", "https,http"),
            (
                "forwarded",
                "for=1.2.3.4;Host=\"c.example:81\";proto=http, for=\"[::1]\"",
            ),
        ]);
        let hosts: Vec<_> = forwarded_hosts(&both).collect();
        assert_eq!(hosts, ["a.example:8088", "b.example", "c.example:81"]);
        assert_eq!(forwarded_scheme(&both), Some("https"));
        let one = headers(&[("forwarded", "proto=http;host=c.example")]);
        assert_eq!(forwarded_scheme(&one), Some("http"));
        assert_eq!(forwarded_scheme(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(raw in "\\PC*", host in "\\PC*") {
            if let Some(origin) = Origin::parse(&raw) {
                let _ = origin.matches_host(&host);
            }
            let _ = "http://a.example".parse::<PublicOrigins>().unwrap().allow_host(&host);
        }
    }
}
