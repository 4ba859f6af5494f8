//! A rendered page and its response.

use askama::Template;
use axum::{
    http::{HeaderMap, HeaderName, header},
    response::{Html, IntoResponse, Response},
};

use super::{
    encoding::encoded,
    problem::{Problem, ProblemKind},
};
use crate::language::Language;
use gzip::Gzippable;

/// A page as it is sent. Cloning is cheap; clones share it.
#[derive(Clone, Debug)]
pub(super) struct RenderedPage(Gzippable);

impl RenderedPage {
    pub(super) fn new(page: &impl Template) -> askama::Result<Self> {
        Ok(Self(page.render()?.into()))
    }

    #[cfg(test)]
    pub(super) fn plain(&self) -> bytes::Bytes {
        self.0.plain()
    }

    pub(super) fn answer(&self, headers: &HeaderMap, language: Language) -> Response {
        let answer = encoded(headers, || Html(self.0.plain()), || Html(self.0.gzip()));
        (page_headers(language), answer).into_response()
    }
}

/// Returns the response where a page cannot be rendered.
pub(super) fn rendering_failed(error: &askama::Error) -> Response {
    tracing::error!(%error, "a page cannot be rendered");
    let detail = "The page cannot be shown. Please try again.";
    Problem::new(ProblemKind::InternalError, detail).into_response()
}

/// Returns the headers of every page.
fn page_headers(language: Language) -> [(HeaderName, &'static str); 2] {
    [
        (header::CONTENT_LANGUAGE, language.tag()),
        (header::VARY, "accept-language, accept-encoding"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARY: &str = "accept-language, accept-encoding";

    #[derive(Template)]
    #[template(ext = "html", source = "Page")]
    struct Page;

    fn asking_for(codings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, codings.parse().unwrap())])
    }

    #[test]
    fn an_answer_says_by_what_it_was_chosen() {
        let rendered = RenderedPage::new(&Page).unwrap();
        for (asked, coding) in [("gzip", Some("gzip")), ("identity", None)] {
            let answer = rendered.answer(&asking_for(asked), Language::English);
            let said = answer.headers().get(header::CONTENT_ENCODING);
            assert_eq!(said.map(|coding| coding.to_str().unwrap()), coding);
            assert_eq!(answer.headers()[header::VARY], VARY);
        }
    }
}
