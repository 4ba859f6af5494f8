//! Problems for people: whoever asks with a browser gets a page in words, not a document for programs.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{PROBLEM_JSON, html};
use crate::language::{Language, Translations};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    not_found: String,
    not_allowed: String,
    busy: String,
    failed: String,
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

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    language: Language,
    texts: &'a Texts,
    text: &'a str,
}

/// Puts a page in the place of a problem document where any page may come to it and the client would rather have a page.
/// Browsers that look at a page say so, scripts do not.
pub(super) async fn for_people(request: Request, next: Next) -> Response {
    let wants_page = wants_page(request.headers());
    let language = Language::asked_for(request.headers());
    let response = next.run(request).await;
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == PROBLEM_JSON);
    if wants_page && is_problem {
        page_instead(response, language)
    } else {
        response
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn page_instead(problem: Response, language: Language) -> Response {
    let texts = &TEXTS[language];
    let status = problem.status();
    let text = match status {
        StatusCode::NOT_FOUND => &texts.not_found,
        StatusCode::METHOD_NOT_ALLOWED => &texts.not_allowed,
        StatusCode::SERVICE_UNAVAILABLE => &texts.busy,
        StatusCode::INTERNAL_SERVER_ERROR => &texts.failed,
        _ => return problem,
    };
    let page = ProblemPage {
        language,
        texts,
        text,
    };
    let mut response = (status, html(&page, language)).into_response();
    for name in [header::RETRY_AFTER, header::ALLOW, header::CONNECTION] {
        if let Some(value) = problem.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_text() {
        assert_eq!(TEXTS[Language::Korean].not_found, "없는 페이지입니다.");
    }
}
