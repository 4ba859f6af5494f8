//! Static files, compiled in: their names carry a hash of their content, so that browsers may keep them for ever.

use std::sync::Arc;

use axum::{Router, http::header, routing::get};

/// A file that pages refer to.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: Arc<str>,
    content_type: &'static str,
    content: &'static str,
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

    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let hash = fingerprint(content.as_bytes());
        Self {
            path: format!("/static/{name}.{hash:016x}.{extension}").into(),
            content_type,
            content,
        }
    }
}

/// The look that all pages share.
#[must_use]
pub fn base_style() -> Asset {
    Asset::css("base", include_str!("../../assets/base.css"))
}

/// The routes of these files.
pub fn asset_routes(assets: &[Asset]) -> Router {
    assets.iter().fold(Router::new(), |routes, asset| {
        let headers = [
            (header::CONTENT_TYPE, asset.content_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        let content = asset.content;
        routes.route(&asset.path, get(move || async move { (headers, content) }))
    })
}

/// FNV-1a, 64 bits: not a defence, only a name that changes with the content.
/// Source: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
fn fingerprint(content: &[u8]) -> u64 {
    content.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_content_is_another_path() {
        assert_ne!(Asset::css("x", "a").path, Asset::css("x", "b").path);
        assert!(Asset::js("x", "a").path.ends_with(".js"));
    }
}
