//! A local Redis and Postgres with durable settings.

use std::time::Duration;

use anyhow::Error;
use local_servers::{ServerProcess, block_on, free_port};
use sqlx::postgres::PgConnectOptions;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A Redis that syncs every write to its disk before it replies.
pub struct Redis {
    pub url: String,
    _server: ServerProcess,
}

impl Redis {
    pub fn start() -> anyhow::Result<Self> {
        let port = free_port();
        let flags = format!("--port {port} --maxmemory-policy noeviction");
        let flags = flags.split(' ').chain(local_servers::redis::DURABLE);
        let flags = flags.map(str::to_owned).collect();
        let server =
            local_servers::redis::start(&[], |_, _| Ok(()), |_| flags).map_err(Error::msg)?;
        let url = local_servers::redis::url(port);
        local_servers::redis::wait_until_ready(&url).map_err(Error::msg)?;
        Ok(Self {
            url,
            _server: server,
        })
    }

    pub fn connect(&self) -> anyhow::Result<redis::Connection> {
        Ok(local_servers::redis::connect(&self.url, CONNECT_TIMEOUT)?)
    }
}

/// A Postgres that syncs every commit to its disk before it replies.
pub struct Postgres {
    /// The maintenance database.
    options: PgConnectOptions,
    url: String,
    _server: ServerProcess,
}

/// Settings that `docs/scaling.md` recommends for millions of rows. Checkpoints are so rare that only explicit ones happen:
/// the first writes after a checkpoint cost more.
pub const LARGE_TABLE_SETTINGS: &str =
    "-c max_wal_size=12GB -c checkpoint_timeout=1h -c shared_buffers=3GB";

impl Postgres {
    /// Starts a Postgres with the default settings.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with("")
    }

    /// Starts a Postgres with additional flags.
    pub fn start_with(flags: &str) -> anyhow::Result<Self> {
        let port = free_port();
        let flags = format!("-c synchronous_commit=on {flags}");
        let server = local_servers::postgres::start(port, |_, _| Ok(()), |_| flags);
        let url = local_servers::postgres::url(port);
        let postgres = Self {
            options: url.parse()?,
            url,
            _server: server.map_err(Error::msg)?,
        };
        block_on(local_servers::postgres::wait_until_ready(&postgres.options))
            .map_err(Error::msg)?;
        Ok(postgres)
    }

    /// Creates an empty database and returns its URL.
    pub fn database(&self, name: &str) -> anyhow::Result<String> {
        block_on(local_servers::postgres::create_database(
            &self.options,
            name,
        ))?;
        Ok(local_servers::postgres::url_of(&self.url, name))
    }
}
