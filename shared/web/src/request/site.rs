//! The public side of a deployment: origins, HTTPS and proxies.

use std::{fmt, str::FromStr};

use axum::http::HeaderValue;

use super::{client_address::TrustedProxies, origin::PublicOrigins};

/// The public side of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// HTTP Strict Transport Security; `None`: browsers do not use HTTPS.
    pub hsts: Option<Hsts>,
    /// The origins of the pages. If there are any, requests for other hosts are rejected.
    pub public_origins: PublicOrigins,
    /// The proxies in front.
    pub trusted_proxies: TrustedProxies,
}

/// The value of the header `Strict-Transport-Security`, or none. Source: <https://www.rfc-editor.org/rfc/rfc6797#section-6.1>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hsts(Option<HeaderValue>);

impl Hsts {
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        self.0.clone()
    }
}

const OFF: &str = "off";

impl FromStr for Hsts {
    type Err = InvalidHsts;

    fn from_str(raw: &str) -> Result<Self, InvalidHsts> {
        if raw.trim().eq_ignore_ascii_case(OFF) {
            return Ok(Self(None));
        }
        let mut directives = raw.split(';').map(str::trim);
        let age = directives.next().and_then(|first| {
            let (name, seconds) = first.split_once('=')?;
            let is_age = name.trim().eq_ignore_ascii_case("max-age");
            is_age.then(|| seconds.trim().parse::<u32>().ok()).flatten()
        });
        let mut value = format!("max-age={}", age.ok_or(InvalidHsts)?);
        for directive in directives {
            let known = ["includeSubDomains", "preload"];
            let known = known
                .into_iter()
                .find(|known| known.eq_ignore_ascii_case(directive));
            value = format!("{value}; {}", known.ok_or(InvalidHsts)?);
        }
        Ok(Self(HeaderValue::try_from(value).ok()))
    }
}

impl fmt::Display for Hsts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0.as_ref().and_then(|value| value.to_str().ok());
        f.write_str(value.unwrap_or(OFF))
    }
}

/// The text is not a value of `Strict-Transport-Security`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write off, or a value of the header Strict-Transport-Security, such as max-age=31536000 or \
     \"max-age=31536000; includeSubDomains\", in seconds"
)]
pub struct InvalidHsts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normalised_or_rejected() {
        for (raw, header) in [
            ("off", None),
            ("max-age=60", Some("max-age=60")),
            (
                "MAX-AGE = 60 ;includesubdomains; preload",
                Some("max-age=60; includeSubDomains; preload"),
            ),
        ] {
            let hsts: Hsts = raw.parse().unwrap();
            assert_eq!(hsts.header(), header.map(HeaderValue::from_static), "{raw}");
        }
        for bad in [
            "",
            "on",
            "60",
            "max-age=soon",
            "max-age=60; all",
            "includeSubDomains",
        ] {
            assert_eq!(bad.parse::<Hsts>(), Err(InvalidHsts), "{bad}");
        }
    }
}
