//! What the service needs to know.

use clap::Args;
use shared::{
    lifecycle::DrainSettings,
    poll::Poll,
    settings::{DataSettings, HttpsSettings, PollSettings, SettingsError, StoreSettings},
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
    drain: DrainSettings,
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
    /// How to end.
    pub drain: DrainSettings,
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
    pub fn config(&self) -> Result<Config, SettingsError> {
        Config::new(&self.poll, &self.store, &self.data, self.https, self.drain)
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
        https: HttpsSettings,
        drain: DrainSettings,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            poll: poll.poll()?,
            store: store.config(data)?,
            behind_https: https.behind_https,
            drain,
        })
    }
}
