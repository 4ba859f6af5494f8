//! The static files of the result page.

use qrcode::{QrCode, render::svg};
use shared::http::{Asset, SharedAssets};

/// The static files of the result page.
pub struct Assets {
    pub shared: SharedAssets,
    pub style: Asset,
    pub script: Asset,
    /// The way to the voting page, for cameras. `None`: nobody said where it is, or in too many words.
    pub qr: Option<Asset>,
}

impl Assets {
    pub fn new(vote_url: Option<&str>) -> Self {
        Self {
            shared: SharedAssets::new(),
            style: Asset::css("result", include_str!("../assets/result.css")),
            script: Asset::js("result", include_str!("../assets/result.js")),
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

fn qr(url: &str) -> Option<Asset> {
    let code = QrCode::new(url).ok()?;
    Some(Asset::svg("vote", code.render::<svg::Color<'_>>().build()))
}
