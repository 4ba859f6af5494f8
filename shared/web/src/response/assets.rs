//! Static files, compiled in or made at start: their names carry a hash of their content, so that browsers may keep them
//! for ever.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, HeaderValue, header},
    routing::get,
};

use super::{encoding, fingerprint::fingerprint};
use crate::metrics::HttpMetrics;
use gzip::Gzippable;

/// Where they are served.
pub(crate) const PREFIX: &str = "/static/";
/// All of them are one route where requests are counted.
pub(crate) const ROUTE: &str = "/static/{file}";

/// A file that pages refer to.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The path, relative to the pages that refer to it. They are all in the root of their service.
    pub path: Arc<str>,
    content_type: &'static str,
    content: Gzippable,
}

impl Asset {
    /// A style sheet.
    #[must_use]
    pub fn css(name: &str, content: &'static str) -> Self {
        Self::new(name, "css", "text/css; charset=utf-8", content)
    }

    /// A script.
    #[must_use]
    pub fn js(name: &str, content: &'static str) -> Self {
        Self::new(name, "js", "text/javascript; charset=utf-8", content)
    }

    /// A picture.
    #[must_use]
    pub fn svg(name: &str, content: impl Into<Bytes>) -> Self {
        Self::new(name, "svg", "image/svg+xml", content)
    }

    fn new(
        name: &str,
        extension: &str,
        content_type: &'static str,
        content: impl Into<Bytes>,
    ) -> Self {
        let content: Bytes = content.into();
        let hash = fingerprint(&content);
        Self {
            path: format!("{}{name}.{hash}.{extension}", &PREFIX[1..]).into(),
            content_type,
            content: content.into(),
        }
    }
}

/// What all pages share.
#[derive(Clone, Debug)]
pub struct SharedAssets {
    /// What a browser shows beside the title.
    pub icon: Asset,
    /// The look.
    pub style: Asset,
    /// The script that shows moments as the reader's clock has them.
    pub dates: Asset,
}

impl SharedAssets {
    /// The files, compiled in.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no file is a default")]
    pub fn new() -> Self {
        Self {
            icon: Asset::svg("icon", include_str!("../../assets/icon.svg")),
            style: Asset::css("base", include_str!("../../assets/base.css")),
            dates: Asset::js("dates", include_str!("../../assets/dates.js")),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Asset> {
        [&self.icon, &self.style, &self.dates].into_iter()
    }
}

/// The routes of these files, whose answers are counted here.
#[expect(
    clippy::disallowed_methods,
    reason = "they belong to the pages and are no part of the API"
)]
pub fn asset_routes<'a>(
    assets: impl IntoIterator<Item = &'a Asset>,
    metrics: &HttpMetrics,
) -> Router {
    metrics.expect("GET", ROUTE, &["200", "404", "500", "503"]);
    assets.into_iter().fold(Router::new(), |routes, asset| {
        let headers = [
            (header::CONTENT_TYPE, asset.content_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
        let content = asset.content.clone();
        let answer = async move |asked: HeaderMap| {
            let body = encoding::body(&asked, &content);
            (headers, body)
        };
        routes.route(&format!("/{}", asset.path), get(answer))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_path() {
        assert_ne!(Asset::css("x", "a").path, Asset::css("x", "b").path);
        let script = Asset::js("x", "a").path;
        assert!(
            script.starts_with("static/") && script.ends_with(".js"),
            "{script}"
        );
    }
}
