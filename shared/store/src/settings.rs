//! Settings of the store.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cli::{InvalidSecret, duration, secret, whole_number};
use embedded::DataSettings;

use crate::{InvalidStoreUrl, StoreConfig, StoreUrl};

/// Settings of the store.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StoreSettings {
    /// URL of the store: sqlite://FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…; by default the file
    /// voting.db in DATA_DIR
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// File that contains the DATABASE_URL, for secrets
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// Timeout of one transaction with the store
    #[arg(long, env = "STORE_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub store_timeout: Duration,

    /// Maximum number of connections to Postgres
    #[arg(long, env = "STORE_MAX_CONNECTIONS", default_value = "4", value_parser = whole_number(3_u32..=100))]
    pub store_max_connections: u32,
}

impl StoreSettings {
    /// Returns the configuration of the store.
    ///
    /// # Errors
    /// The URL is invalid, or its file cannot be read.
    pub fn config(&self, data: &DataSettings) -> Result<StoreConfig, InvalidStoreSettings> {
        let url = secret(
            "DATABASE_URL",
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
        )?;
        let url = match url {
            Some(url) => url.parse()?,
            None => StoreUrl::Sqlite(data.database()),
        };
        Ok(StoreConfig {
            url,
            timeout: self.store_timeout,
            max_connections: self.store_max_connections,
        })
    }
}

/// Error of invalid settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidStoreSettings {
    /// The URL is invalid.
    #[error("DATABASE_URL")]
    Url(#[from] InvalidStoreUrl),
    /// The file that contains the URL cannot be read.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
}
