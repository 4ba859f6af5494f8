//! Base paths, for a service below a path of a site, behind a proxy that does not remove the path.
//!
//! All links of pages are relative, so a proxy that removes the base path needs no setting.

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    extract::Request,
    http::{Method, StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
};

use crate::{Problem, ProblemKind, probes::is_probe};

const MAX_LENGTH: usize = 200;

/// The path below which a service is served, such as `/vote`; empty for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

impl BasePath {
    /// Returns the path without a trailing slash; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the absolute path of the start page.
    #[must_use]
    pub fn root(&self) -> String {
        format!("{self}/")
    }

    /// Returns the `Path` of cookies that only this service gets. Cookies with the name prefix `__Host-` need `/` instead.
    #[must_use]
    pub fn cookie_path(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// Removes the base path from the request's path, or returns the response to a request that is not below it. Probes and
    /// `OPTIONS` are accepted outside it, too: they often do not pass through the proxy.
    pub(crate) fn strip_from(&self, request: &mut Request) -> Option<Response> {
        if self.0.is_empty() {
            return None;
        }
        let path = request.uri().path();
        match path.strip_prefix(&*self.0) {
            Some("") => Some(self.redirect(request.uri())),
            Some(rest) if rest.starts_with('/') => {
                *request.uri_mut() = self.without_base(request.uri());
                None
            }
            _ if is_probe(path) || request.method() == Method::OPTIONS => None,
            _ => Some(self.not_found(path).into_response()),
        }
    }

    /// Returns true if the path is that of a probe.
    pub(crate) fn is_probe(&self, path: &str) -> bool {
        is_probe(path) || path.strip_prefix(&*self.0).is_some_and(is_probe)
    }

    /// Redirects to the base path with a trailing slash. The location is relative, so it is right behind a proxy that removes a
    /// part of the path. It is temporary: browsers cache a permanent redirect even after the setting has changed.
    fn redirect(&self, uri: &Uri) -> Response {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        let query = uri
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        let location = [(header::LOCATION, format!("{last}/{query}"))];
        (StatusCode::TEMPORARY_REDIRECT, location).into_response()
    }

    fn without_base(&self, uri: &Uri) -> Uri {
        let mut parts = uri.clone().into_parts();
        let path_and_query = parts.path_and_query.as_ref().map(PathAndQuery::as_str);
        let rest = path_and_query.and_then(|path| path.strip_prefix(&*self.0));
        parts.path_and_query = rest.and_then(|rest| rest.parse().ok());
        Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
    }

    fn not_found(&self, path: &str) -> Problem {
        let detail = format!("There is nothing at {path}; this service is below {self}/.");
        Problem::new(ProblemKind::NotFound, detail)
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for BasePath {
    type Err = InvalidBasePath;

    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        let is_segment = |segment: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte);
            !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
        };
        let segments = raw.strip_prefix('/').ok_or(InvalidBasePath)?;
        if raw.len() > MAX_LENGTH || !segments.split('/').all(is_segment) {
            return Err(InvalidBasePath);
        }
        Ok(Self(raw.into()))
    }
}

/// The text is not a base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a path such as /vote or /polls/lunch: it begins with a slash, ends without one, has A-Z, a-z, 0-9 and -_~. between \
     slashes, and at most {MAX_LENGTH} characters"
)]
pub struct InvalidBasePath;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn base(raw: &str) -> BasePath {
        raw.parse().unwrap()
    }

    /// Returns the path and query that reach the routes, or the status and location of the response.
    fn stripped(base: &BasePath, target: &str) -> Result<String, (u16, String)> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.parse().unwrap();
        match base.strip_from(&mut request) {
            None => Ok(request.uri().to_string()),
            Some(response) => {
                let location = response.headers().get(header::LOCATION);
                let location = location.map_or("", |location| location.to_str().unwrap());
                Err((response.status().as_u16(), location.to_owned()))
            }
        }
    }

    #[test]
    fn the_base_path_is_removed() {
        let vote = base("/vote");
        assert_eq!(stripped(&vote, "/vote/"), Ok("/".into()));
        assert_eq!(
            stripped(&vote, "/vote/api/poll?x=/vote"),
            Ok("/api/poll?x=/vote".into())
        );
        assert_eq!(stripped(&vote, "/vote//x"), Ok("//x".into()));
        let absolute = "http://poll.example.org/vote/api/poll";
        assert_eq!(
            stripped(&vote, absolute),
            Ok("http://poll.example.org/api/poll".into())
        );
        assert_eq!(
            stripped(&BasePath::default(), "/vote/"),
            Ok("/vote/".into())
        );
    }

    #[test]
    fn a_missing_slash_is_added_by_a_relative_redirect() {
        assert_eq!(
            stripped(&base("/vote"), "/vote"),
            Err((307, "vote/".into()))
        );
        assert_eq!(
            stripped(&base("/polls/lunch"), "/polls/lunch?lang=de"),
            Err((307, "lunch/?lang=de".into()))
        );
    }

    #[test]
    fn only_probes_are_outside_the_base_path() {
        let vote = base("/vote");
        for elsewhere in ["/", "/voter/", "/api/poll", "/VOTE/", "/vote.css"] {
            assert_eq!(
                stripped(&vote, elsewhere),
                Err((404, String::new())),
                "{elsewhere}"
            );
        }
        for probe in ["/health", "/ready", "/metrics"] {
            assert_eq!(stripped(&vote, probe), Ok(probe.to_owned()));
            assert_eq!(
                stripped(&vote, &format!("/vote{probe}")),
                Ok(probe.to_owned())
            );
            assert!(vote.is_probe(probe) && vote.is_probe(&format!("/vote{probe}")));
        }
        assert!(!vote.is_probe("/vote/") && !vote.is_probe("/x/health"));
    }

    #[test]
    fn only_plain_paths_are_base_paths() {
        for bad in [
            "",
            "/",
            "vote",
            "/vote/",
            "//vote",
            "/a//b",
            "/..",
            "/a/./b",
            "/a b",
            "/a?b",
            "/a#b",
            "/%61",
            "/é",
            "/a;b",
            "https://x/",
        ] {
            assert_eq!(bad.parse::<BasePath>(), Err(InvalidBasePath), "{bad}");
        }
        assert!(
            format!("/{}", "a".repeat(MAX_LENGTH))
                .parse::<BasePath>()
                .is_err()
        );
        assert_eq!(base("/polls/Lunch_2.1~x").root(), "/polls/Lunch_2.1~x/");
        assert_eq!(
            (
                base("/vote").cookie_path(),
                BasePath::default().cookie_path()
            ),
            ("/vote", "/")
        );
    }
}
