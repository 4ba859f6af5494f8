//! What the service needs to know.

use clap::Args;
use shared::{
    http::AllowedOrigins,
    lifecycle::DrainSettings,
    links::{self, LinkSettings},
    poll::Poll,
    settings::{
        CorsSettings, DataSettings, HttpsSettings, PollSettings, SettingsError, StoreSettings,
    },
    store::StoreConfig,
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
    https: HttpsSettings,
    #[command(flatten)]
    cors: CorsSettings,
    #[command(flatten)]
    links: LinkSettings,
    #[command(flatten)]
    embed: EmbedSettings,
    #[command(flatten)]
    drain: DrainSettings,
}

/// Who may show the result within pages of their own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct EmbedSettings {
    /// The origins whose pages may show /embed in a frame, separated by commas, such as https://example.org; if not
    /// set, none
    #[arg(long, env = "EMBED_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = links::origin)]
    pub embed_allowed_origins: Vec<String>,
}

/// What the page needs besides the result.
#[derive(Clone, Debug)]
pub struct PageConfig {
    /// Where browsers find the pages.
    pub links: LinkSettings,
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
    /// Whether browsers come over HTTPS.
    pub behind_https: bool,
    /// Which other sites may read the API.
    pub origins: Option<AllowedOrigins>,
    /// What the page needs besides the result.
    pub page: PageConfig,
    /// How to end.
    pub drain: DrainSettings,
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
    pub fn config(&self) -> Result<Config, SettingsError> {
        Config::new(
            &self.poll,
            &self.store,
            &self.data,
            self.https,
            &self.cors,
            &self.links,
            &self.embed,
            self.drain,
        )
    }
}

impl Config {
    /// Checks settings that come from anywhere.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
    #[expect(clippy::too_many_arguments, reason = "one for each group of settings")]
    pub fn new(
        poll: &PollSettings,
        store: &StoreSettings,
        data: &DataSettings,
        https: HttpsSettings,
        cors: &CorsSettings,
        links: &LinkSettings,
        embed: &EmbedSettings,
        drain: DrainSettings,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            poll: poll.poll()?,
            store: store.config(data)?,
            behind_https: https.behind_https,
            origins: cors.cors_allowed_origins.clone(),
            page: PageConfig {
                links: links.clone(),
                embed_allowed_origins: embed.embed_allowed_origins.clone(),
            },
            drain,
        })
    }
}
