//! Problems for people: whoever asks with a browser gets a page in words, not a document for programs.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    http::{HeaderMap, StatusCode, header},
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

/// Who asked: somebody who would rather have a page than a problem document, in this language, or a program.
/// Browsers that look at a page say so, scripts do not.
pub(super) struct Reader(Option<Language>);

impl Reader {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let wants_page = accept.is_some_and(|accept| accept.contains("text/html"));
        Self(wants_page.then(|| Language::asked_for(headers)))
    }

    /// The answer, with a page in the place of a problem document where any page may come to it.
    pub(super) fn readable(&self, response: Response) -> Response {
        let kind = response.headers().get(header::CONTENT_TYPE);
        match self.0 {
            Some(language) if kind.is_some_and(|kind| kind == PROBLEM_JSON) => {
                page_instead(response, language)
            }
            _ => response,
        }
    }
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
    let mut response = (status, html(&page, language, &HeaderMap::new())).into_response();
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
