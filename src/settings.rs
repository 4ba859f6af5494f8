//! The settings of the three services together.

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
use worker::PaceSettings;

use crate::Listeners;

/// The settings of the whole application in one process.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    #[command(flatten)]
    pub addresses: Addresses,
    #[command(flatten)]
    poll: PollSettings,
    /// Where embedded storage keeps its files.
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
    pace: PaceSettings,
    #[command(flatten)]
    server: ServerSettings,
}

/// Where each service listens: on this machine only, unless set otherwise.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct Addresses {
    /// The voting page's address, such as 0.0.0.0:8080 to let others on the network vote
    #[arg(long, env = "VOTE_LISTEN_ADDR", value_parser = socket_address, default_value_t = local(vote::DEFAULT_PORT))]
    pub vote_listen_addr: SocketAddr,

    /// The address of the voting service's metrics and of its /ready in words; if not set, the voting page's
    #[arg(long, env = "VOTE_MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub vote_management_listen_addr: Option<SocketAddr>,

    /// The result page's address
    #[arg(long, env = "RESULT_LISTEN_ADDR", value_parser = socket_address, default_value_t = local(result::DEFAULT_PORT))]
    pub result_listen_addr: SocketAddr,

    /// The address of the result service's metrics and of its /ready in words; if not set, the result page's
    #[arg(long, env = "RESULT_MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub result_management_listen_addr: Option<SocketAddr>,

    /// The address of the worker's probes and metrics
    #[arg(long, env = "WORKER_LISTEN_ADDR", value_parser = socket_address, default_value_t = local(worker::DEFAULT_PORT))]
    pub worker_listen_addr: SocketAddr,
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Addresses {
    /// Listens on all of them.
    ///
    /// # Errors
    /// An address cannot be used; the message names its variable.
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

    /// Those of the three services.
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

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The voting service's.
    pub vote: vote::Config,
    /// The result service's.
    pub result: result::Config,
    /// The worker's.
    pub worker: worker::Config,
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
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

    /// Checks those of the worker alone.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
    pub fn worker(&self) -> anyhow::Result<worker::Config> {
        let Self {
            poll,
            data,
            queue,
            store,
            pace,
            server,
            ..
        } = self;
        worker::Config::new(poll, queue, store, data, pace, *server)
    }
}
