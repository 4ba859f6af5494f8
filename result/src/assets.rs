//! The static files of the result page.

use qrcode::{QrCode, render::svg};
use web::{Asset, SharedAssets};

/// The page's script: several files, served as one.
const SCRIPT: &str = concat!(
    include_str!("../assets/tally.js"),
    include_str!("../assets/timeline.js"),
    include_str!("../assets/tabs.js"),
    include_str!("../assets/feed.js"),
    include_str!("../assets/result.js"),
);

/// The static files of the result page.
pub struct Assets {
    pub shared: SharedAssets,
    pub style: Asset,
    pub script: Asset,
    /// QR code of the voting page. `None` if its URL is unknown, on localhost, or too long for a QR code.
    pub qr: Option<Asset>,
}

impl Assets {
    pub fn new(vote_url: Option<&str>) -> Self {
        Self {
            shared: SharedAssets::new(),
            style: Asset::css("result", include_str!("../assets/result.css")),
            script: Asset::js("result", SCRIPT),
            qr: vote_url.and_then(qr),
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Asset> {
        self.shared
            .all()
            .chain([&self.style, &self.script])
            .chain(&self.qr)
    }
}

/// The QR code of a URL. A URL on localhost would be useless on another device.
fn qr(url: &str) -> Option<Asset> {
    if url.starts_with("http://localhost:") {
        return None;
    }
    let code = QrCode::new(url).ok()?;
    Some(Asset::svg("vote", code.render::<svg::Color<'_>>().build()))
}
