//! The whole voting application in one process: `vote`, `worker` and `result` side by side, composed and nothing more.

mod settings;

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub use settings::{Addresses, Config, Settings};

/// A bound listener for each service.
#[derive(Debug)]
pub struct Listeners {
    /// For the voting page.
    pub vote: TcpListener,
    /// For the result page.
    pub result: TcpListener,
    /// For the worker's probes and metrics.
    pub worker: TcpListener,
}

/// Runs the three services until `shutdown` is cancelled and all have ended.
///
/// # Errors
/// A service cannot run or crashed; the others are ended first.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut services = JoinSet::new();
    services.spawn(vote::run(config.vote, listeners.vote, shutdown.clone()));
    services.spawn(result::run(
        config.result,
        listeners.result,
        shutdown.clone(),
    ));
    services.spawn(worker::run(
        config.worker,
        listeners.worker,
        shutdown.clone(),
    ));
    let mut outcome = Ok(());
    while let Some(ended) = services.join_next().await {
        outcome = outcome.and(ended.map_err(Into::into).flatten());
        // One without the others would take votes that nobody counts, or show what nobody may vote on.
        shutdown.cancel();
    }
    outcome
}
