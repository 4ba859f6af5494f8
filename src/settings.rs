//! Settings of the three services in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::Context;
use clap::Args;
use cli::socket_address;
use embedded::DataSettings;
use poll::settings::PollSettings;
use queue::QueueSettings;
use result::{EmbedSettings, ViewerSettings};
use service::{listen, listen_for_management};
use store::StoreSettings;
use vote::{CookieSettings, RateSettings};
use web::settings::{BrowserSettings, ServerSettings};
use worker::ProcessorSettings;

use crate::Listeners;

/// The settings of the application in one process.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The addresses of the services.
    #[command(flatten)]
    pub addresses: Addresses,
    #[command(flatten)]
    poll: PollSettings,
    /// The folder of the embedded storage.
    #[command(flatten)]
    pub data: DataSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    cookie: CookieSettings,
    #[command(flatten)]
    browser: BrowserSettings,
    #[command(flatten)]
    embed: EmbedSettings,
    #[command(flatten)]
    viewers: ViewerSettings,
    #[command(flatten)]
    rates: RateSettings,
    #[command(flatten)]
    processor: ProcessorSettings,
    #[command(flatten)]
    server: ServerSettings,
}

/// The addresses that the services listen on; loopback addresses by default.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct Addresses {
    /// Listen address of the voting page, for example 0.0.0.0:8080 to let others on the network vote
    #[arg(long, env = "VOTE_LISTEN_ADDR", value_parser = socket_address, default_value_t = local(vote::DEFAULT_PORT))]
    pub vote_listen_addr: SocketAddr,

    /// Listen address of the voting service for metrics and the detailed /ready; if not set, that of the voting page
    #[arg(long, env = "VOTE_MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub vote_management_listen_addr: Option<SocketAddr>,

    /// Listen address of the result page
    #[arg(long, env = "RESULT_LISTEN_ADDR", value_parser = socket_address, default_value_t = local(result::DEFAULT_PORT))]
    pub result_listen_addr: SocketAddr,

    /// Listen address of the result service for metrics and the detailed /ready; if not set, that of the result page
    #[arg(long, env = "RESULT_MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub result_management_listen_addr: Option<SocketAddr>,

    /// Listen address of the worker for probes and metrics
    #[arg(long, env = "WORKER_LISTEN_ADDR", value_parser = socket_address, default_value_t = local(worker::DEFAULT_PORT))]
    pub worker_listen_addr: SocketAddr,
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Addresses {
    /// Binds all addresses.
    ///
    /// # Errors
    /// An address cannot be bound; the message names its variable.
    pub async fn bind(&self) -> anyhow::Result<Listeners> {
        let vote = web::Listeners {
            public: listen(self.vote_listen_addr)
                .await
                .context("VOTE_LISTEN_ADDR")?,
            management: listen_for_management(
                "VOTE_MANAGEMENT_LISTEN_ADDR",
                self.vote_management_listen_addr,
            )
            .await?,
        };
        let result = web::Listeners {
            public: listen(self.result_listen_addr)
                .await
                .context("RESULT_LISTEN_ADDR")?,
            management: listen_for_management(
                "RESULT_MANAGEMENT_LISTEN_ADDR",
                self.result_management_listen_addr,
            )
            .await?,
        };
        let worker = listen(self.worker_listen_addr)
            .await
            .context("WORKER_LISTEN_ADDR")?;
        Ok(Listeners {
            vote,
            result,
            worker,
        })
    }

    /// The addresses of the three services, for the health check.
    #[must_use]
    pub fn of_services(&self) -> [cli::Addresses; 3] {
        [
            (self.vote_listen_addr, self.vote_management_listen_addr),
            (self.result_listen_addr, self.result_management_listen_addr),
            (self.worker_listen_addr, None),
        ]
        .map(|(public, management)| cli::Addresses { public, management })
    }
}

/// The validated settings of the three services.
#[derive(Clone, Debug)]
pub struct Config {
    /// The configuration of the voting service.
    pub vote: vote::Config,
    /// The configuration of the result service.
    pub result: result::Config,
    /// The configuration of the worker.
    pub worker: worker::Config,
}

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// A value is invalid; the message names the variable and the allowed values.
    pub fn config(&self) -> anyhow::Result<Config> {
        let Self {
            poll,
            data,
            queue,
            store,
            cookie,
            browser,
            embed,
            viewers,
            rates,
            server,
            ..
        } = self;
        if queue.config(data)?.url.is_embedded() || store.config(data)?.url.is_embedded() {
            let folder = &data.data_dir;
            embedded::private::create_folder(folder).with_context(|| {
                format!("DATA_DIR: the folder {} cannot be used", folder.display())
            })?;
        }
        Ok(Config {
            vote: vote::Config::new(poll, queue, data, cookie, browser, rates, *server)?,
            result: result::Config::new(poll, store, data, browser, embed, *viewers, *server)?,
            worker: self.worker()?,
        })
    }

    /// Validates the settings of the worker only.
    ///
    /// # Errors
    /// A value is invalid; the message names the variable and the allowed values.
    pub fn worker(&self) -> anyhow::Result<worker::Config> {
        let Self {
            poll,
            data,
            queue,
            store,
            processor,
            server,
            ..
        } = self;
        worker::Config::new(poll, queue, store, data, processor, *server)
    }
}
