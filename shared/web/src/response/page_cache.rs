//! Pages, compressed for browsers that take them so. Those that many get as they are: rendered and compressed once, not
//! once for each.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{PoisonError, RwLock},
};

use askama::Template;
use axum::{http::HeaderMap, response::Response};

use super::rendered_page::{RenderedPage, rendering_failed};
use crate::language::Language;

/// The last version of each page. `K` tells one page from another, of which there must be few; `V` one version of it from
/// another.
#[derive(Debug)]
pub struct PageCache<K, V>(RwLock<HashMap<(Language, K), (V, RenderedPage)>>);

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
            Err(error) => rendering_failed(&error),
        }
    }

    fn rendered<T: Template>(
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
