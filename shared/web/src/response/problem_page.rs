//! Problems for people: whoever asks with a browser gets a page in words, not a document for programs.
//!
//! The page holds its own style: it must look right at every path, and also while the service refuses further requests.

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
    .expect("the texts are compiled in, and a test has read them")
});

/// The look of all pages, which is all that this one needs.
const STYLE: &str = include_str!("../../assets/base.css");

/// Nothing but this very style, and the way back.
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
    /// The time after which to try again.
    advice: Option<String>,
    /// The start page, as this page refers to it.
    home: String,
    back: &'a str,
}

/// The client: a person, who gets a page, or a program, which gets a problem document. Browsers say that they want a page,
/// scripts do not.
pub(crate) struct Reader(Option<Person>);

struct Person {
    language: Language,
    /// The number of folders in the requested path.
    depth: usize,
}

impl Reader {
    pub(crate) fn of(request: &Request) -> Self {
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let wants_page = accept.is_some_and(|accept| accept.contains("text/html"));
        Self(wants_page.then(|| Person {
            language: Language::negotiate(request.headers()),
            depth: request.uri().path().matches('/').count().saturating_sub(1),
        }))
    }

    /// The answer, with a page in the place of a problem document where any page may come to it.
    pub(crate) fn readable(&self, response: Response, base_path: &BasePath) -> Response {
        let kind = response.headers().get(header::CONTENT_TYPE);
        match &self.0 {
            Some(person) if kind.is_some_and(|kind| kind == PROBLEM_JSON) => {
                page_instead(response, person, base_path)
            }
            _ => response,
        }
    }
}

impl Person {
    /// The start page: relative, because a proxy may serve the service below a path of which it knows nothing.
    fn home(&self, base_path: &BasePath) -> String {
        if base_path.as_str().is_empty() {
            format!("./{}", "../".repeat(self.depth))
        } else {
            base_path.root()
        }
    }
}

fn page_instead(problem: Response, person: &Person, base_path: &BasePath) -> Response {
    let language = person.language;
    let texts = &TEXTS[language];
    let status = problem.status();
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
        home: person.home(base_path),
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
        let response = Reader::of(&request).readable(problem.into_response(), &base_path);
        let headers = response.headers().clone();
        let body = to_bytes(response.into_body(), 100_000).await.unwrap();
        (headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn every_language_has_every_text() {
        assert_eq!(TEXTS[Language::Korean].not_found, "없는 페이지입니다.");
    }

    #[tokio::test]
    async fn the_way_back_is_right_at_every_depth() {
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
    async fn the_page_has_its_own_style_and_allows_no_other() {
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
