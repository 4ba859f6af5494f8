//! A cache of pages that are the same for many browsers: each is rendered and compressed once.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use askama::Template;
use axum::{http::HeaderMap, response::Response};

use super::rendered_page::{RenderedPage, rendering_failed};
use crate::language::Language;

/// The last version of each page, by language and key. There must be few keys. A page with another version is rendered again.
#[derive(Debug)]
pub struct PageCache<K, V>(RwLock<HashMap<(Language, K), (V, RenderedPage)>>);

impl<K, V> Default for PageCache<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: PartialEq> PageCache<K, V> {
    /// Returns a page in this language, compressed if the request headers accept that. `page` creates the page if this version is
    /// not in the cache.
    pub fn respond<T: Template>(
        &self,
        headers: &HeaderMap,
        language: Language,
        (key, version): (K, V),
        page: impl FnOnce() -> T,
    ) -> Response {
        match self.get_or_render((language, key), version, page) {
            Ok(page) => page.respond(headers, language),
            Err(error) => rendering_failed(&error),
        }
    }

    fn get_or_render<T: Template>(
        &self,
        key: (Language, K),
        version: V,
        page: impl FnOnce() -> T,
    ) -> askama::Result<RenderedPage> {
        let pages = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, rendered)) = pages.get(&key)
            && *known == version
        {
            return Ok(rendered.clone());
        }
        drop(pages);
        let rendered = RenderedPage::new(&page())?;
        let mut pages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pages.insert(key, (version, rendered.clone()));
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Template)]
    #[template(ext = "html", source = "Version {{ version }}")]
    struct Page {
        version: u8,
    }

    #[test]
    fn each_version_is_rendered_once() {
        let (pages, rendered) = (PageCache::default(), Cell::new(0));
        let get = |language, key, version| {
            let page = || {
                rendered.set(rendered.get() + 1);
                Page { version }
            };
            pages
                .get_or_render((language, key), version, page)
                .unwrap()
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
}
