//! Problems as pages: a browser gets a page instead of a problem document.
//!
//! The page contains its style sheet, so it looks right at every path, and also while the service rejects further requests.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{PROBLEM_JSON, html};
use crate::{
    language::{Language, Translations},
    request::BasePath,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    not_found: String,
    not_allowed: String,
    hidden: String,
    busy: String,
    failed: String,
    try_again: String,
    one_second: String,
    many_seconds: String,
    back: String,
}

static TEXTS: LazyLock<Translations<Texts>> = LazyLock::new(|| {
    Translations::parse([
        include_str!("../../locales/en.toml"),
        include_str!("../../locales/de.toml"),
        include_str!("../../locales/ko.toml"),
    ])
    .expect("the texts are compiled in, and a test parses them")
});

/// The style sheet of all pages.
const STYLE: &str = include_str!("../../assets/base.css");

/// Content security policy that allows only this style sheet.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("Base64 is ASCII")
});

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    language: Language,
    style: &'static str,
    text: &'a str,
    /// The time after which to retry.
    advice: Option<String>,
    /// The URL of the start page, relative to this page.
    home: String,
    back: &'a str,
}

/// The kind of client: a browser gets a page, a program gets a problem document. Browsers send `Accept: text/html`, scripts do
/// not.
pub(crate) enum ClientKind {
    Browser(Browser),
    Program,
}

pub(crate) struct Browser {
    language: Language,
    /// The number of folders in the requested path.
    depth: usize,
}

impl ClientKind {
    pub(crate) fn of(request: &Request) -> Self {
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let wants_page = accept.is_some_and(|accept| accept.contains("text/html"));
        if !wants_page {
            return Self::Program;
        }
        Self::Browser(Browser {
            language: Language::negotiate(request.headers()),
            depth: request.uri().path().matches('/').count().saturating_sub(1),
        })
    }

    /// Replaces a problem document with a page if the client is a browser and any page may get the problem. Other responses are
    /// unchanged.
    pub(crate) fn convert_problem(&self, response: Response, base_path: &BasePath) -> Response {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        match self {
            Self::Browser(browser) if content_type.is_some_and(|kind| kind == PROBLEM_JSON) => {
                render_problem_as_html(response, browser, base_path)
            }
            _ => response,
        }
    }
}

impl Browser {
    /// Returns the URL of the start page. It is relative, because a proxy may serve the service below a path that the service does
    /// not know.
    fn home(&self, base_path: &BasePath) -> String {
        if base_path.as_str().is_empty() {
            format!("./{}", "../".repeat(self.depth))
        } else {
            base_path.root()
        }
    }
}

fn render_problem_as_html(problem: Response, browser: &Browser, base_path: &BasePath) -> Response {
    let language = browser.language;
    let texts = &TEXTS[language];
    let status = problem.status();
    // The problems that any page may get. Others stay problem documents.
    let text = match status {
        StatusCode::NOT_FOUND => &texts.not_found,
        StatusCode::METHOD_NOT_ALLOWED => &texts.not_allowed,
        StatusCode::FORBIDDEN => &texts.hidden,
        StatusCode::SERVICE_UNAVAILABLE => &texts.busy,
        StatusCode::INTERNAL_SERVER_ERROR => &texts.failed,
        _ => return problem,
    };
    let page = ProblemPage {
        language,
        style: STYLE,
        text,
        advice: retry_after(problem.headers()).map(|seconds| texts.try_again(seconds)),
        home: browser.home(base_path),
        back: &texts.back,
    };
    let policy = [(header::CONTENT_SECURITY_POLICY, POLICY.clone())];
    let page = html(&page, language, &HeaderMap::new());
    let mut response = (status, policy, page).into_response();
    for name in [header::RETRY_AFTER, header::ALLOW, header::CONNECTION] {
        if let Some(value) = problem.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn retry_after(headers: &HeaderMap) -> Option<u32> {
    let seconds = headers.get(header::RETRY_AFTER)?;
    seconds.to_str().ok()?.parse().ok()
}

impl Texts {
    fn try_again(&self, seconds: u32) -> String {
        let wait = match seconds {
            1 => self.one_second.clone(),
            _ => self.many_seconds.replace("{n}", &seconds.to_string()),
        };
        self.try_again.replace("{wait}", &wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problem, ProblemKind};
    use axum::body::{Body, to_bytes};

    async fn page(path: &str, base_path: &str, problem: Problem) -> (HeaderMap, String) {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().unwrap();
        let accept = "text/html,*/*;q=0.8".parse().unwrap();
        request.headers_mut().insert(header::ACCEPT, accept);
        let base_path = base_path.parse().unwrap_or_default();
        let response =
            ClientKind::of(&request).convert_problem(problem.into_response(), &base_path);
        let headers = response.headers().clone();
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        (headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn every_language_has_every_text() {
        assert_eq!(TEXTS[Language::Korean].not_found, "없는 페이지입니다.");
    }

    #[tokio::test]
    async fn the_start_page_is_linked_from_every_depth() {
        for (path, base_path, home) in [
            ("/nowhere", "", "./"),
            ("/a/b/c", "", "./../../"),
            ("/a/", "", "./../"),
            ("/a/b/c", "/vote", "/vote/"),
        ] {
            let problem = Problem::new(ProblemKind::NotFound, "There is nothing here.");
            let (_, page) = page(path, base_path, problem).await;
            assert!(
                page.contains(&format!("<a href=\"{home}\">")),
                "{path}: {page}"
            );
        }
    }

    #[tokio::test]
    async fn the_page_contains_its_style_and_allows_no_other() {
        let problem = Problem::new(ProblemKind::TimedOut, "It took too long.").retry_after(1);
        let (headers, page) = page("/", "", problem).await;
        assert!(page.contains("Please try again in 1 second."), "{page}");
        assert_eq!(headers[header::RETRY_AFTER], "1");
        let style = page.split("<style>").nth(1).unwrap();
        let style = style.split("</style>").next().unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(style));
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains(&format!("style-src 'sha256-{hash}'")),
            "{policy}"
        );
    }
}
