//! Pages, compressed for browsers that take them so. Those that many get as they are: rendered and compressed once, not
//! once for each.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use askama::Template;
use axum::{
    http::HeaderMap,
    response::{Html, IntoResponse, Response},
};

use super::{
    encoding::encoded,
    html::{about, cannot_be_rendered},
};
use crate::language::Language;
use gzip::Gzippable;

/// The last version of each page. `K` tells one page from another, of which there must be few; `V` one version of it from
/// another.
#[derive(Debug)]
pub struct PageCache<K, V>(RwLock<HashMap<(Language, K), (V, CachedPage)>>);

/// A page as it is sent. Cloning is cheap; clones share it.
#[derive(Clone, Debug)]
pub(super) struct CachedPage(Gzippable);

impl<K, V> Default for PageCache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: PartialEq> PageCache<K, V> {
    /// This version of a page, in this language and as the browser with these headers takes it. `page` is what to render
    /// where that has not been done yet.
    pub fn answer<T: Template>(
        &self,
        headers: &HeaderMap,
        language: Language,
        (key, version): (K, V),
        page: impl FnOnce() -> T,
    ) -> Response {
        match self.rendered((language, key), version, page) {
            Ok(rendered) => rendered.answer(headers, language),
            Err(error) => cannot_be_rendered(&error),
        }
    }

    fn rendered<T: Template>(
        &self,
        key: (Language, K),
        version: V,
        page: impl FnOnce() -> T,
    ) -> askama::Result<CachedPage> {
        let pages = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, rendered)) = pages.get(&key)
            && *known == version
        {
            return Ok(rendered.clone());
        }
        drop(pages);
        let rendered = CachedPage::new(&page())?;
        let mut pages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pages.insert(key, (version, rendered.clone()));
        Ok(rendered)
    }
}

impl CachedPage {
    pub(super) fn new(page: &impl Template) -> askama::Result<Self> {
        Ok(Self(page.render()?.into()))
    }

    pub(super) fn answer(&self, headers: &HeaderMap, language: Language) -> Response {
        let answer = encoded(headers, || Html(self.0.plain()), || Html(self.0.gzip()));
        (about(language), answer).into_response()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use axum::http::header;

    use super::*;

    const VARY: &str = "accept-language, accept-encoding";

    #[derive(Template)]
    #[template(ext = "html", source = "Version {{ version }}")]
    struct Page {
        version: u8,
    }

    fn asking_for(codings: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, codings.parse().unwrap())])
    }

    #[test]
    fn a_version_is_rendered_once_and_the_next_one_anew() {
        let (pages, rendered) = (PageCache::default(), Cell::new(0));
        let get = |language, key, version| {
            let page = || {
                rendered.set(rendered.get() + 1);
                Page { version }
            };
            pages
                .rendered((language, key), version, page)
                .unwrap()
                .0
                .plain()
        };
        for version in [1, 1, 2, 2] {
            let page = get(Language::English, "one", version);
            assert_eq!(page, format!("Version {version}"));
        }
        assert_eq!(rendered.get(), 2);
        get(Language::English, "other", 2);
        get(Language::German, "one", 2);
        assert_eq!(rendered.get(), 4);
        assert_eq!(get(Language::English, "one", 2), "Version 2");
        assert_eq!(rendered.get(), 4);
    }

    #[test]
    fn an_answer_says_by_what_it_was_chosen() {
        let rendered = CachedPage::new(&Page { version: 7 }).unwrap();
        for (asked, coding) in [("gzip", Some("gzip")), ("identity", None)] {
            let answer = rendered.answer(&asking_for(asked), Language::English);
            let said = answer.headers().get(header::CONTENT_ENCODING);
            assert_eq!(said.map(|coding| coding.to_str().unwrap()), coding);
            assert_eq!(answer.headers()[header::VARY], VARY);
        }
    }
}
