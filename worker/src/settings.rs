//! What the service needs to know.

use std::time::Duration;

use clap::Args;
use cli::{duration, whole_number};
use embedded::DataSettings;
use poll::{Poll, settings::PollSettings};
use queue::{QueueConfig, QueueSettings};
use store::{StoreConfig, StoreSettings};
use web::settings::ServerSettings;

use crate::mover::Pace;

/// The settings of the service when it runs alone.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(flatten)]
    poll: PollSettings,
    #[command(flatten)]
    queue: QueueSettings,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    pace: PaceSettings,
    #[command(flatten)]
    server: ServerSettings,
}

/// How the worker works.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Worker")]
pub struct PaceSettings {
    /// This worker's name among all workers; if not set, the host's name and a random number
    #[arg(long, env = "WORKER_NAME")]
    pub worker_name: Option<String>,

    /// How many ballots one transaction takes at most
    #[arg(long, env = "WORKER_BATCH", default_value = "1000", value_parser = whole_number(1_u16..=10_000))]
    pub worker_batch: u16,

    /// How many batches it moves at once, each with a name and a connection of its own: while one is on its way to the
    /// disk, the next is read. One at most with embedded storage, which has one writer
    #[arg(long, env = "WORKER_CONCURRENCY", default_value = "4", value_parser = whole_number(1_u8..=16))]
    pub worker_concurrency: u8,

    /// How long another worker may hold a ballot before this one takes it over
    #[arg(long, env = "WORKER_CLAIM_MIN_IDLE", default_value = "10s", value_parser = duration)]
    pub worker_claim_min_idle: Duration,

    /// How long one turn of the loop may take before /health says 503, for a restart; longer than STORE_TIMEOUT
    #[arg(long, env = "WORKER_LIVENESS_TIMEOUT", default_value = "1m", value_parser = duration)]
    pub worker_liveness_timeout: Duration,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is voted on: ballots for anything else are dead letters.
    pub poll: Poll,
    /// Where ballots come from.
    pub queue: QueueConfig,
    /// Where they go.
    pub store: StoreConfig,
    /// The consumers' names: one for each batch that is moved at the same time.
    pub names: Vec<String>,
    /// How much and how often.
    pub pace: Pace,
    /// How long one turn of the loop may take: one that takes longer hangs, and only a restart can help.
    pub liveness_timeout: Duration,
    /// How to serve probes and metrics, and how to end.
    pub server: ServerSettings,
}

/// How long to wait for a ballot. Also how long the worker may take to notice that it shall end.
const WAIT: Duration = Duration::from_millis(500);

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// They cannot be used; the message names the variable and what is allowed.
    pub fn config(&self) -> anyhow::Result<Config> {
        Config::new(
            &self.poll,
            &self.queue,
            &self.store,
            &self.data,
            &self.pace,
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
        store: &StoreSettings,
        data: &DataSettings,
        pace: &PaceSettings,
        server: ServerSettings,
    ) -> anyhow::Result<Self> {
        let generated = || {
            format!(
                "{}-{:08x}",
                telemetry::instance_name(),
                rand::random::<u32>()
            )
        };
        let name = pace.worker_name.clone().unwrap_or_else(generated);
        let (queue, store) = (queue.config(data)?, store.config(data)?);
        // An embedded database has one writer at a time.
        let at_once = if queue.url.is_embedded() || store.url.is_embedded() {
            1
        } else {
            pace.worker_concurrency
        };
        let more = (2..=at_once).map(|number| format!("{name}-{number}"));
        Ok(Self {
            poll: poll.poll()?,
            queue,
            store,
            names: std::iter::once(name.clone()).chain(more).collect(),
            pace: Pace {
                batch: pace.worker_batch.into(),
                wait: WAIT,
                claim_min_idle: pace.worker_claim_min_idle,
                restarts_ids: false,
            },
            liveness_timeout: pace.worker_liveness_timeout,
            server,
        })
    }
}
