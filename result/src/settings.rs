//! What the service needs to know.

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

/// The settings of the service when it runs alone.
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

/// How many watch the result live.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct ViewerSettings {
    /// How many may watch the live result at once; further ones are answered 503. If not set, 95 % of MAX_CONNECTIONS
    #[arg(long, env = "MAX_VIEWERS", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_viewers: Option<u32>,

    /// The number of them that one address may have; further ones are answered 503. If not set, half of all
    #[arg(long, env = "MAX_VIEWERS_PER_ADDRESS", value_parser = whole_number(1_u32..=1_000_000))]
    pub max_viewers_per_address: Option<u32>,
}

/// Who may show the result within pages of their own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct EmbedSettings {
    /// The origins whose pages may show /embed in a frame, separated by commas: scheme, host and port; if not set,
    /// none
    #[arg(long, env = "EMBED_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = public_urls::origin)]
    pub embed_allowed_origins: Vec<String>,
}

/// What the page needs besides the result.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// Where browsers find the pages.
    pub links: PublicUrlSettings,
    /// Whose pages may show the result in a frame.
    pub embed_allowed_origins: Vec<String>,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is voted on.
    pub poll: Poll,
    /// Where the tally is.
    pub store: StoreConfig,
    /// The outside of the installation: origins, HTTPS, proxies.
    pub site: Site,
    /// Which other sites may read the API.
    pub origins: Option<AllowedOrigins>,
    /// What the page needs besides the result.
    pub page: PageConfig,
    /// How many may watch the live result at once.
    pub max_viewers: usize,
    /// The number of them that one address may have.
    pub max_viewers_per_address: u32,
    /// How to serve and how to end.
    pub server: ServerSettings,
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
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
    /// Checks settings that come from anywhere.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
    pub fn new(
        poll: &PollSettings,
        store: &StoreSettings,
        data: &DataSettings,
        browser: &BrowserSettings,
        embed: &EmbedSettings,
        viewers: ViewerSettings,
        server: ServerSettings,
    ) -> anyhow::Result<Self> {
        // Some places are kept for the page, the API and the probes.
        let connections = server.connections.max_connections;
        let most = connections - connections / 20;
        let max_viewers = viewers.max_viewers.unwrap_or(most);
        let half = max_viewers.div_ceil(2);
        Ok(Self {
            poll: poll.poll()?,
            store: store.config(data)?,
            site: browser.site(),
            origins: browser.cors.cors_allowed_origins.clone(),
            page: PageConfig {
                links: browser.public_urls.clone(),
                embed_allowed_origins: embed.embed_allowed_origins.clone(),
            },
            max_viewers: max_viewers as usize,
            max_viewers_per_address: viewers.max_viewers_per_address.unwrap_or(half),
            server,
        })
    }
}
