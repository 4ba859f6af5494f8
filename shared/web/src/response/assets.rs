//! Static files, compiled in or created at start. Their names contain a fingerprint of their content, so browsers may cache them
//! without expiry.

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

/// Path prefix of all static files.
pub(crate) const PREFIX: &str = "/static/";
/// Route label of all static files in metrics.
pub(crate) const ROUTE: &str = "/static/{file}";

/// A file that pages refer to.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The path, relative to the pages that refer to it, which are all in the root of their service.
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
        let fingerprint = fingerprint(&content);
        Self {
            path: format!("{}{name}.{fingerprint}.{extension}", &PREFIX[1..]).into(),
            content_type,
            content: content.into(),
        }
    }
}

/// The files that all pages share.
#[derive(Clone, Debug)]
pub struct SharedAssets {
    /// The icon of the pages.
    pub icon: Asset,
    /// The style sheet.
    pub style: Asset,
    /// The script that shows times in the time zone of the browser.
    pub dates: Asset,
}

impl SharedAssets {
    /// Creates the files, which are compiled in.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no file is a default")]
    pub fn new() -> Self {
        Self {
            icon: Asset::svg("icon", include_str!("../../assets/icon.svg")),
            style: Asset::css("base", include_str!("../../assets/base.css")),
            dates: Asset::js("dates", include_str!("../../assets/dates.js")),
        }
    }

    /// Returns all of them.
    pub fn all(&self) -> impl Iterator<Item = &Asset> {
        [&self.icon, &self.style, &self.dates].into_iter()
    }
}

/// Returns the routes of these files, and registers their route label in the metrics.
#[expect(
    clippy::disallowed_methods,
    reason = "they belong to the pages, not to the API"
)]
pub fn asset_routes<'a>(
    assets: impl IntoIterator<Item = &'a Asset>,
    metrics: &HttpMetrics,
) -> Router {
    metrics.pre_register_labels("GET", ROUTE, &["200", "404", "500", "503"]);
    assets.into_iter().fold(Router::new(), |routes, asset| {
        let headers = [
            (header::CONTENT_TYPE, asset.content_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ]
        .map(|(name, value)| (name, HeaderValue::from_static(value)));
        let content = asset.content.clone();
        let handler = async move |request_headers: HeaderMap| {
            let body = encoding::negotiated_body(&request_headers, &content);
            (headers, body)
        };
        routes.route(&format!("/{}", asset.path), get(handler))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_contents_have_different_paths() {
        assert_ne!(Asset::css("x", "a").path, Asset::css("x", "b").path);
        let script = Asset::js("x", "a").path;
        assert!(
            script.starts_with("static/") && script.ends_with(".js"),
            "{script}"
        );
    }
}
