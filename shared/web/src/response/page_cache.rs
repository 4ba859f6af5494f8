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

/// Rendered pages by language and key, which are never evicted. There must be few keys, and a page must not change: its times are
/// absolute, see [`TimeText`](super::TimeText).
#[derive(Debug)]
pub struct PageCache<K>(RwLock<HashMap<(Language, K), RenderedPage>>);

impl<K> Default for PageCache<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash> PageCache<K> {
    /// Returns a page in this language, compressed if the request headers accept that. `page` creates the page if it is not in the
    /// cache.
    pub fn respond<T: Template>(
        &self,
        headers: &HeaderMap,
        language: Language,
        key: K,
        page: impl FnOnce() -> T,
    ) -> Response {
        match self.get_or_render((language, key), page) {
            Ok(page) => page.respond(headers, language),
            Err(error) => rendering_failed(&error),
        }
    }

    fn get_or_render<T: Template>(
        &self,
        key: (Language, K),
        page: impl FnOnce() -> T,
    ) -> askama::Result<RenderedPage> {
        let pages = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(rendered) = pages.get(&key) {
            return Ok(rendered.clone());
        }
        drop(pages);
        let rendered = RenderedPage::new(&page())?;
        let mut pages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pages.insert(key, rendered.clone());
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Template)]
    #[template(ext = "html", source = "{{ language.tag() }} {{ key }}")]
    struct Page {
        language: Language,
        key: u8,
    }

    #[test]
    fn each_page_is_rendered_once() {
        let (pages, rendered) = (PageCache::default(), Cell::new(0));
        for (language, key, rendered_so_far) in [
            (Language::English, 1, 1),
            (Language::English, 1, 1),
            (Language::English, 2, 2),
            (Language::German, 2, 3),
            (Language::English, 1, 3),
        ] {
            let page = || {
                rendered.set(rendered.get() + 1);
                Page { language, key }
            };
            let page = pages.get_or_render((language, key), page).unwrap();
            assert_eq!(page.plain(), format!("{} {key}", language.tag()));
            assert_eq!(rendered.get(), rendered_so_far);
        }
    }
}
