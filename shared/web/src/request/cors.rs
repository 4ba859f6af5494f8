//! CORS: the origins of other sites whose scripts may read the API.

use std::{str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::public_urls;

/// Time for which a browser may cache the response to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// The origins whose scripts may read the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// All origins.
    Any,
    /// A list of origins.
    List(Vec<HeaderValue>),
}

impl AllowedOrigins {
    /// Returns the layer that allows scripts of these origins to read responses. Cookies are never allowed.
    pub fn layer(&self) -> CorsLayer {
        let origins = match self {
            Self::Any => AllowOrigin::any(),
            Self::List(origins) => AllowOrigin::list(origins.iter().cloned()),
        };
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::HEAD])
            .allow_headers([
                header::IF_NONE_MATCH,
                HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([header::ETAG, header::RETRY_AFTER])
            .max_age(PREFLIGHT_MAX_AGE)
    }
}

impl FromStr for AllowedOrigins {
    type Err = InvalidOrigin;

    fn from_str(raw: &str) -> Result<Self, InvalidOrigin> {
        if raw.trim() == "*" {
            return Ok(Self::Any);
        }
        raw.split(',')
            .map(origin)
            .collect::<Result<_, _>>()
            .map(Self::List)
    }
}

/// Parses an origin, which must be exactly as browsers write it: it is compared as text.
fn origin(raw: &str) -> Result<HeaderValue, InvalidOrigin> {
    let origin = public_urls::origin(raw)
        .ok()
        .filter(|origin| !origin.contains('*'));
    origin
        .and_then(|origin| HeaderValue::try_from(origin).ok())
        .ok_or_else(|| InvalidOrigin(raw.trim().to_owned()))
}

/// The text is not a list of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an origin; write *, or a list such as https://example.com,http://localhost:3000: http or https, the \
     host in lower case, the port if it is not the default one, and nothing after it"
)]
pub struct InvalidOrigin(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_origins_are_accepted() {
        let origins: AllowedOrigins =
            "https://example.com, http://localhost:3000,http://[::1]:8080"
                .parse()
                .unwrap();
        let list = [
            "https://example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
        ];
        assert_eq!(
            origins,
            AllowedOrigins::List(list.map(HeaderValue::from_static).into())
        );
        assert_eq!(" * ".parse(), Ok(AllowedOrigins::Any));
    }

    #[test]
    fn other_spellings_than_those_of_browsers_are_rejected() {
        for raw in [
            "",
            "null",
            "example.com",
            "ftp://example.com",
            "https://example.com/",
            "https://example.com/page",
            "https://example.com:443",
            "https://Example.com",
            "https://user@example.com",
            "https://*.example.com",
            "https://example.com,",
            "https://example.com,*",
            "https://exämple.com",
        ] {
            let error = raw.parse::<AllowedOrigins>().unwrap_err().to_string();
            assert!(
                error.contains("is not an origin; write *"),
                "{raw}: {error}"
            );
        }
    }
}
