//! What the service needs to know.

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
    rate_limit::{RateConfig, RateSettings},
};

/// The settings of the service when it runs alone.
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

/// How voters are recognised.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Voters")]
pub struct CookieSettings {
    /// The key that signs the voters' cookies: at least 64 bytes, in hexadecimal digits or as text. The same for every replica.
    /// If not set, one is made at start, and with embedded storage kept in DATA_DIR/cookie.key
    #[arg(long, env = "COOKIE_KEY", hide_env_values = true)]
    pub cookie_key: Option<String>,

    /// A file that holds the COOKIE_KEY
    #[arg(long, env = "COOKIE_KEY_FILE", conflicts_with = "cookie_key")]
    pub cookie_key_file: Option<PathBuf>,

    /// The key before the current one: cookies it signed are still recognised
    #[arg(long, env = "COOKIE_KEY_PREVIOUS", hide_env_values = true)]
    pub cookie_key_previous: Option<String>,

    /// A file that holds the COOKIE_KEY_PREVIOUS
    #[arg(
        long,
        env = "COOKIE_KEY_PREVIOUS_FILE",
        conflicts_with = "cookie_key_previous"
    )]
    pub cookie_key_previous_file: Option<PathBuf>,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is voted on.
    pub poll: Poll,
    /// Where ballots go.
    pub queue: QueueConfig,
    /// How voters are recognised.
    pub cookie_keys: CookieKeys,
    /// Which other sites may read the poll.
    pub origins: Option<AllowedOrigins>,
    /// Where browsers find the pages.
    pub links: PublicUrlSettings,
    /// The outside of the installation: origins, HTTPS, proxies.
    pub site: Site,
    /// How much one address may vote.
    pub rates: RateConfig,
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
    /// Checks settings that come from anywhere.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
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
        // Where ballots outlive the process in a folder, so does the key to who cast them.
        let kept_in = matches!(queue.url, QueueUrl::Sqlite(_)).then_some(data.data_dir.as_path());
        let cookie_keys = CookieKeys::new(
            current.as_deref(),
            previous.as_deref(),
            kept_in,
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
