//! Static files of the voting page.

use web::{Asset, SharedAssets};

/// Static files of the voting page.
pub struct Assets {
    pub shared: SharedAssets,
    pub style: Asset,
    pub script: Asset,
}

impl Assets {
    pub fn new() -> Self {
        Self {
            shared: SharedAssets::new(),
            style: Asset::css("vote", include_str!("../assets/vote.css")),
            script: Asset::js("vote", include_str!("../assets/vote.js")),
        }
    }

    pub fn all(&self) -> impl Iterator<Item = &Asset> {
        self.shared.all().chain([&self.style, &self.script])
    }
}
