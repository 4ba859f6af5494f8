//! Settings of the worker.

use std::time::Duration;

use clap::Args;
use cli::{duration, whole_number};
use embedded::DataSettings;
use poll::{Poll, settings::PollSettings};
use queue::{QueueConfig, QueueSettings};
use store::{StoreConfig, StoreSettings};
use web::settings::ServerSettings;

use crate::processor::ProcessorConfig;

/// The settings of the worker as a separate process.
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
    processor: ProcessorSettings,
    #[command(flatten)]
    server: ServerSettings,
}

/// The settings of the ballot processors.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Worker")]
pub struct ProcessorSettings {
    /// Name of this worker, unique among all workers; if not set, the host name and a random number
    #[arg(long, env = "WORKER_NAME")]
    pub worker_name: Option<String>,

    /// Maximum number of ballots in one transaction
    #[arg(long, env = "WORKER_BATCH", default_value = "1000", value_parser = whole_number(1_u16..=10_000))]
    pub worker_batch: u16,

    /// Number of batches processed concurrently, each with a consumer name and a connection of its own: while one batch is written
    /// to disk, the next is read. Always 1 with embedded storage, which has one writer
    #[arg(long, env = "WORKER_CONCURRENCY", default_value = "4", value_parser = whole_number(1_u8..=16))]
    pub worker_concurrency: u8,

    /// Time after which a ballot that another worker holds is claimed by this one
    #[arg(long, env = "WORKER_CLAIM_MIN_IDLE", default_value = "10s", value_parser = duration)]
    pub worker_claim_min_idle: Duration,

    /// Maximum time for one iteration of the loop, after which /health responds with 503, so that the worker is restarted; must be
    /// longer than STORE_TIMEOUT
    #[arg(long, env = "WORKER_LIVENESS_TIMEOUT", default_value = "1m", value_parser = duration)]
    pub worker_liveness_timeout: Duration,
}

/// The validated settings of the worker.
#[derive(Clone, Debug)]
pub struct Config {
    /// The poll of the settings, beside those that are recorded in the store.
    pub poll: Poll,
    /// The queue that ballots are read from.
    pub queue: QueueConfig,
    /// The store that ballots are written to.
    pub store: StoreConfig,
    /// The consumers' names, one for each concurrent batch.
    pub consumer_names: Vec<String>,
    /// Batch size and intervals of each processor.
    pub processor: ProcessorConfig,
    /// Maximum time for one iteration of the loop. A longer iteration hangs, and only a restart can help.
    pub liveness_timeout: Duration,
    /// Connection limit and drain settings of the server for probes and metrics.
    pub server: ServerSettings,
}

/// Time to block for the next ballot. The worker may also take this long to notice a shutdown.
const READ_BLOCK_TIMEOUT: Duration = Duration::from_millis(500);

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// A value is invalid; the message names the variable and the allowed values.
    pub fn config(&self) -> anyhow::Result<Config> {
        Config::new(
            &self.poll,
            &self.queue,
            &self.store,
            &self.data,
            &self.processor,
            self.server,
        )
    }
}

impl Config {
    /// Validates the given settings.
    ///
    /// # Errors
    /// A value is invalid; the message names the variable and the allowed values.
    pub fn new(
        poll: &PollSettings,
        queue: &QueueSettings,
        store: &StoreSettings,
        data: &DataSettings,
        processor: &ProcessorSettings,
        server: ServerSettings,
    ) -> anyhow::Result<Self> {
        let generated = || {
            format!(
                "{}-{:08x}",
                telemetry::instance_name(),
                rand::random::<u32>()
            )
        };
        let name = processor.worker_name.clone().unwrap_or_else(generated);
        let (queue, store) = (queue.config(data)?, store.config(data)?);
        // An embedded database has one writer at a time.
        let concurrency = if queue.url.is_embedded() || store.url.is_embedded() {
            1
        } else {
            processor.worker_concurrency
        };
        let more = (2..=concurrency).map(|number| format!("{name}-{number}"));
        Ok(Self {
            poll: poll.poll()?,
            queue,
            store,
            consumer_names: std::iter::once(name.clone()).chain(more).collect(),
            processor: ProcessorConfig {
                max_batch_size: processor.worker_batch.into(),
                read_timeout: READ_BLOCK_TIMEOUT,
                claim_min_idle: processor.worker_claim_min_idle,
                restarts_ids: false,
            },
            liveness_timeout: processor.worker_liveness_timeout,
            server,
        })
    }
}
