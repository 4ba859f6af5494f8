//! Settings of the service.

use std::path::PathBuf;

use clap::Args;
use cli::secret;
use embedded::DataSettings;
use poll::{Poll, settings::PollSettings};
use queue::{QueueConfig, QueueSettings, QueueUrl};
use web::{
    AllowedOrigins, Site,
    public_urls::PublicUrlSettings,
    settings::{BrowserSettings, ServerSettings},
};

use crate::{
    cookie_key::CookieKeys,
    rate_settings::{RateConfig, RateSettings},
};

/// Settings of the service when it runs as a program of its own.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(flatten)]
    poll: PollSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    cookie: CookieSettings,
    #[command(flatten)]
    browser: BrowserSettings,
    #[command(flatten)]
    rates: RateSettings,
    #[command(flatten)]
    server: ServerSettings,
}

/// Settings of the voters' cookies.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Voters")]
pub struct CookieSettings {
    /// Key that signs the voters' cookies: at least 64 bytes, in hexadecimal digits or as text. All replicas need the same key.
    /// If not set, a key is generated at start; with embedded storage it is stored in DATA_DIR/cookie.key
    #[arg(long, env = "COOKIE_KEY", hide_env_values = true)]
    pub cookie_key: Option<String>,

    /// File that contains the COOKIE_KEY
    #[arg(long, env = "COOKIE_KEY_FILE", conflicts_with = "cookie_key")]
    pub cookie_key_file: Option<PathBuf>,

    /// Previous key: cookies that it signed are still recognised
    #[arg(long, env = "COOKIE_KEY_PREVIOUS", hide_env_values = true)]
    pub cookie_key_previous: Option<String>,

    /// File that contains the COOKIE_KEY_PREVIOUS
    #[arg(
        long,
        env = "COOKIE_KEY_PREVIOUS_FILE",
        conflicts_with = "cookie_key_previous"
    )]
    pub cookie_key_previous_file: Option<PathBuf>,
}

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Poll that is voted on.
    pub poll: Poll,
    /// Queue that stores the ballots.
    pub queue: QueueConfig,
    /// Keys that sign the voters' cookies.
    pub cookie_keys: CookieKeys,
    /// Origins of other sites that may read the poll.
    pub origins: Option<AllowedOrigins>,
    /// Public URLs of the pages.
    pub links: PublicUrlSettings,
    /// Public origins, HTTPS and trusted proxies.
    pub site: Site,
    /// Limits per client address.
    pub rates: RateConfig,
    /// Limits of connections and of the shutdown.
    pub server: ServerSettings,
}

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// A setting is invalid. The message names the variable and the allowed values.
    pub fn config(&self) -> anyhow::Result<Config> {
        Config::new(
            &self.poll,
            &self.queue,
            &self.data,
            &self.cookie,
            &self.browser,
            &self.rates,
            self.server,
        )
    }
}

impl Config {
    /// Validates settings from any source.
    ///
    /// # Errors
    /// A setting is invalid. The message names the variable and the allowed values.
    pub fn new(
        poll: &PollSettings,
        queue: &QueueSettings,
        data: &DataSettings,
        cookie: &CookieSettings,
        browser: &BrowserSettings,
        rates: &RateSettings,
        server: ServerSettings,
    ) -> anyhow::Result<Self> {
        let queue = queue.config(data)?;
        let current = secret(
            "COOKIE_KEY",
            cookie.cookie_key.as_deref(),
            cookie.cookie_key_file.as_deref(),
        )?;
        let previous = secret(
            "COOKIE_KEY_PREVIOUS",
            cookie.cookie_key_previous.as_deref(),
            cookie.cookie_key_previous_file.as_deref(),
        )?;
        // If ballots are stored in a folder, the key is stored there, too.
        let key_dir = matches!(queue.url, QueueUrl::Sqlite(_)).then_some(data.data_dir.as_path());
        let cookie_keys = CookieKeys::new(
            current.as_deref(),
            previous.as_deref(),
            key_dir,
            browser.https.public_https,
        )?;
        let site = browser.site();
        Ok(Self {
            poll: poll.poll()?,
            queue,
            cookie_keys,
            origins: browser.cors.cors_allowed_origins.clone(),
            links: browser.public_urls.clone(),
            rates: rates.config(site.trusted_proxies.clone())?,
            site,
            server,
        })
    }
}
