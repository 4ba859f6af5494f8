//! Pages, compressed for browsers that take them so. Those that many get as they are: rendered and compressed once, not
//! once for each.

use std::{
    collections::HashMap,
    hash::Hash,
    io::Write,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use askama::Template;
use axum::{
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::html::{about, cannot_be_rendered};
use crate::language::Language;

/// The last version of each page. `K` tells one page from another, of which there must be few; `V` one version of it from
/// another.
#[derive(Debug)]
pub struct Pages<K, V>(RwLock<HashMap<(Language, K), (V, Rendered)>>);

/// What is sent: compressed with the first browser that takes it so. Cloning is cheap; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    plain: Bytes,
    gzip: Arc<OnceLock<Bytes>>,
}

impl<K, V> Default for Pages<K, V> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash, V: PartialEq> Pages<K, V> {
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
    ) -> askama::Result<Rendered> {
        let pages = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, rendered)) = pages.get(&key)
            && *known == version
        {
            return Ok(rendered.clone());
        }
        drop(pages);
        let rendered = Rendered::new(&page())?;
        let mut pages = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pages.insert(key, (version, rendered.clone()));
        Ok(rendered)
    }
}

impl Rendered {
    pub(super) fn new(page: &impl Template) -> askama::Result<Self> {
        Ok(Self {
            plain: page.render()?.into(),
            gzip: Arc::default(),
        })
    }

    pub(super) fn answer(&self, headers: &HeaderMap, language: Language) -> Response {
        let about = about(language);
        if takes_gzip(headers) {
            let gzip = [(header::CONTENT_ENCODING, "gzip")];
            (about, gzip, Html(self.gzip())).into_response()
        } else {
            (about, Html(self.plain.clone())).into_response()
        }
    }

    fn gzip(&self) -> Bytes {
        let compressed = self.gzip.get_or_init(|| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            let written = gzip.write_all(&self.plain).and_then(|()| gzip.finish());
            written.expect("memory can be written to").into()
        });
        compressed.clone()
    }
}

/// Whether a browser takes it, which a weight of 0 denies. Source: <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3>.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let refuses = |parameter: &str| {
        let weight = parameter.trim().strip_prefix("q=");
        weight.is_some_and(|weight| weight.parse() == Ok(0.0_f32))
    };
    let codings = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    codings
        .filter_map(|codings| codings.to_str().ok())
        .flat_map(|codings| codings.split(','))
        .any(|coding| {
            let mut parts = coding.split(';');
            let name = parts.next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("gzip") && !parts.any(refuses)
        })
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Read};

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
        let (pages, rendered) = (Pages::default(), Cell::new(0));
        let get = |language, key, version| {
            let page = || {
                rendered.set(rendered.get() + 1);
                Page { version }
            };
            pages
                .rendered((language, key), version, page)
                .unwrap()
                .plain
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
    fn whoever_takes_it_compressed_gets_the_same() {
        let rendered = Rendered::new(&Page { version: 7 }).unwrap();
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&rendered.gzip()[..])
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(rendered.plain, plain);
        let answer = rendered.answer(&asking_for("gzip"), Language::English);
        assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(answer.headers()[header::VARY], VARY);
        let answer = rendered.answer(&HeaderMap::new(), Language::English);
        assert!(!answer.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(answer.headers()[header::VARY], VARY);
    }

    #[test]
    fn who_takes_it_compressed_is_read_from_the_header() {
        for yes in ["gzip", "br, gzip", "deflate,GZIP;q=0.5", "gzip ; q=1"] {
            assert!(takes_gzip(&asking_for(yes)), "{yes}");
        }
        for no in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000", "xgzip"] {
            assert!(!takes_gzip(&asking_for(no)), "{no}");
        }
    }
}
