//! A rendered page and its response.

use askama::Template;
use axum::{
    http::{HeaderMap, HeaderName, header},
    response::{Html, IntoResponse, Response},
};

use super::{
    encoding::negotiate,
    problem::{Problem, ProblemKind},
};
use crate::language::Language;
use gzip::Gzippable;

/// A rendered page. Cloning is cheap; clones share the bytes.
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

    pub(super) fn respond(&self, headers: &HeaderMap, language: Language) -> Response {
        let response = negotiate(headers, || Html(self.0.plain()), || Html(self.0.gzip()));
        (page_headers(language), response).into_response()
    }
}

/// Returns the response for a page that cannot be rendered.
pub(super) fn rendering_failed(error: &askama::Error) -> Response {
    tracing::error!(%error, "cannot render a page");
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

    fn accepting(codings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, codings.parse().unwrap())])
    }

    #[test]
    fn the_response_has_its_encoding_and_vary() {
        let rendered = RenderedPage::new(&Page).unwrap();
        for (codings, coding) in [("gzip", Some("gzip")), ("identity", None)] {
            let response = rendered.respond(&accepting(codings), Language::English);
            let encoding = response.headers().get(header::CONTENT_ENCODING);
            assert_eq!(encoding.map(|coding| coding.to_str().unwrap()), coding);
            assert_eq!(response.headers()[header::VARY], VARY);
        }
    }
}
