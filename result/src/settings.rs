//! Settings of the result service.

use clap::Args;
use cli::whole_number;
use embedded::DataSettings;
use poll::{Poll, settings::PollSettings};
use store::{StoreConfig, StoreSettings};
use web::{
    AllowedOrigins, Site,
    public_urls::{self, PublicUrlSettings},
    settings::{BrowserSettings, ServerSettings},
};

/// The settings of the result service as a separate process.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(flatten)]
    poll: PollSettings,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    browser: BrowserSettings,
    #[command(flatten)]
    embed: EmbedSettings,
    #[command(flatten)]
    viewers: ViewerSettings,
    #[command(flatten)]
    server: ServerSettings,
}

/// The limits of viewers of the live result.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct ViewerSettings {
    /// Maximum number of viewers of the live result; further ones are rejected with 503. If not set, 95 % of MAX_CONNECTIONS
    #[arg(long, env = "MAX_VIEWERS", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_viewers: Option<u32>,

    /// Maximum number of viewers of the live result per address; further ones are rejected with 503. If not set, half of MAX_VIEWERS
    #[arg(long, env = "MAX_VIEWERS_PER_ADDRESS", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_viewers_per_address: Option<u32>,
}

/// The origins that may embed the result.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct EmbedSettings {
    /// Comma-separated origins (scheme, host and port) whose pages may show /embed in a frame; if not set, none
    #[arg(long, env = "EMBED_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = public_urls::origin)]
    pub embed_allowed_origins: Vec<String>,
}

/// The configuration of the page.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// The public URLs of the pages.
    pub public_urls: PublicUrlSettings,
    /// The origins whose pages may show the result in a frame.
    pub embed_allowed_origins: Vec<String>,
}

/// The validated settings of the result service.
#[derive(Clone, Debug)]
pub struct Config {
    /// The poll.
    pub poll: Poll,
    /// The store that contains the tally.
    pub store: StoreConfig,
    /// Public origins, HTTPS and proxies.
    pub site: Site,
    /// The other origins that may read the API.
    pub origins: Option<AllowedOrigins>,
    /// The configuration of the page.
    pub page: PageConfig,
    /// Maximum number of viewers of the live result.
    pub max_viewers: usize,
    /// Maximum number of these viewers per address.
    pub max_viewers_per_address: u32,
    /// Connection limit and drain settings of the server.
    pub server: ServerSettings,
}

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// A value is invalid; the message names the variable and the allowed values.
    pub fn config(&self) -> anyhow::Result<Config> {
        Config::new(
            &self.poll,
            &self.store,
            &self.data,
            &self.browser,
            &self.embed,
            self.viewers,
            self.server,
        )
    }
}

impl Config {
    /// Validates the given settings.
    ///
    /// # Errors
    /// A value is invalid; the message names the variable and the allowed values.
    pub fn new(
        poll: &PollSettings,
        store: &StoreSettings,
        data: &DataSettings,
        browser: &BrowserSettings,
        embed: &EmbedSettings,
        viewers: ViewerSettings,
        server: ServerSettings,
    ) -> anyhow::Result<Self> {
        // The other connections are reserved for the page, the API and the probes.
        let connections = server.connections.max_connections;
        let default_max = connections - connections / 20;
        let max_viewers = viewers.max_viewers.unwrap_or(default_max);
        let half = max_viewers.div_ceil(2);
        Ok(Self {
            poll: poll.poll()?,
            store: store.config(data)?,
            site: browser.site(),
            origins: browser.cors.cors_allowed_origins.clone(),
            page: PageConfig {
                public_urls: browser.public_urls.clone(),
                embed_allowed_origins: embed.embed_allowed_origins.clone(),
            },
            max_viewers: max_viewers as usize,
            max_viewers_per_address: viewers.max_viewers_per_address.unwrap_or(half),
            server,
        })
    }
}
