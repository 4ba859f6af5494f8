//! Base paths: a service below a path of a site, behind a proxy that passes paths on as they are.
//!
//! Pages refer to everything relative to themselves, so a proxy that removes the base path needs no setting at all.

use std::{fmt, str::FromStr, sync::Arc};

use axum::{
    extract::Request,
    http::{Method, StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
};

use crate::{Problem, ProblemKind, probes::is_probe};

const MAX_LENGTH: usize = 200;

/// A path below which a service answers, such as `/vote`; empty: the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

impl BasePath {
    /// The path without a slash at its end; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The service's start page, as an absolute path.
    #[must_use]
    pub fn root(&self) -> String {
        format!("{self}/")
    }

    /// The `Path` of cookies that belong to the service alone. Cookies whose names begin with `__Host-` need `/` instead.
    #[must_use]
    pub fn cookie_path(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// Takes the base path off the request's path, or returns the answer to a request that is not below it. Probes are
    /// answered outside of it too, `OPTIONS` among them: those who ask for them often come past the proxy.
    pub(crate) fn enter(&self, request: &mut Request) -> Option<Response> {
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

    /// Returns true for the path of a probe.
    pub(crate) fn is_probe(&self, path: &str) -> bool {
        is_probe(path) || path.strip_prefix(&*self.0).is_some_and(is_probe)
    }

    /// To the base path with its slash. The location is relative, so it is right behind a proxy that removes a part of
    /// the path. Temporary: browsers remember a permanent one even after the setting has changed.
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
        let detail = format!("There is nothing at {path}; this service answers below {self}/.");
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

/// No base path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a path such as /vote or /polls/lunch: it begins with a slash, ends without one, and has A-Z, a-z, 0-9 and -_~. \
     between slashes, {MAX_LENGTH} characters at most"
)]
pub struct InvalidBasePath;

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn base(raw: &str) -> BasePath {
        raw.parse().unwrap()
    }

    /// The path and query that reach the routes, or the status and location of the answer.
    fn entered(base: &BasePath, target: &str) -> Result<String, (u16, String)> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = target.parse().unwrap();
        match base.enter(&mut request) {
            None => Ok(request.uri().to_string()),
            Some(response) => {
                let location = response.headers().get(header::LOCATION);
                let location = location.map_or("", |location| location.to_str().unwrap());
                Err((response.status().as_u16(), location.to_owned()))
            }
        }
    }

    #[test]
    fn the_base_path_is_taken_off() {
        let vote = base("/vote");
        assert_eq!(entered(&vote, "/vote/"), Ok("/".into()));
        assert_eq!(
            entered(&vote, "/vote/api/poll?x=/vote"),
            Ok("/api/poll?x=/vote".into())
        );
        assert_eq!(entered(&vote, "/vote//x"), Ok("//x".into()));
        let absolute = "http://poll.example.org/vote/api/poll";
        assert_eq!(
            entered(&vote, absolute),
            Ok("http://poll.example.org/api/poll".into())
        );
        assert_eq!(entered(&BasePath::default(), "/vote/"), Ok("/vote/".into()));
    }

    #[test]
    fn a_missing_slash_is_added_by_a_relative_redirect() {
        assert_eq!(entered(&base("/vote"), "/vote"), Err((307, "vote/".into())));
        assert_eq!(
            entered(&base("/polls/lunch"), "/polls/lunch?lang=de"),
            Err((307, "lunch/?lang=de".into()))
        );
    }

    #[test]
    fn outside_there_are_only_probes() {
        let vote = base("/vote");
        for elsewhere in ["/", "/voter/", "/api/poll", "/VOTE/", "/vote.css"] {
            assert_eq!(
                entered(&vote, elsewhere),
                Err((404, String::new())),
                "{elsewhere}"
            );
        }
        for probe in ["/health", "/ready", "/metrics"] {
            assert_eq!(entered(&vote, probe), Ok(probe.to_owned()));
            assert_eq!(
                entered(&vote, &format!("/vote{probe}")),
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
