//! The whole voting application in one process: `vote`, `worker` and `result` side by side, composed and nothing more.

mod settings;

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use web::BasePath;

pub use settings::{Addresses, Config, Settings};

/// A bound listener for each service.
#[derive(Debug)]
pub struct Listeners {
    /// For the voting page.
    pub vote: web::Listeners,
    /// For the result page.
    pub result: web::Listeners,
    /// For the worker's probes and metrics.
    pub worker: TcpListener,
}

/// Runs the three services until `shutdown` is cancelled and all have ended.
///
/// # Errors
/// A service cannot run or crashed; the others are ended first.
pub async fn run(
    mut config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.link_pages(&listeners);
    let mut services = JoinSet::new();
    services.spawn(vote::run(config.vote, listeners.vote, shutdown.clone()));
    services.spawn(result::run(
        config.result,
        listeners.result,
        shutdown.clone(),
    ));
    services.spawn(worker::run(
        config.worker,
        listeners.worker.into(),
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

impl Config {
    /// On one machine the pages know where the other one is, where nobody said so.
    fn link_pages(&mut self, listeners: &Listeners) {
        for links in [&mut self.vote.links, &mut self.result.page.public_urls] {
            let vote_url = || local_url(&listeners.vote.public, links.vote_base_path.as_ref());
            let result_url =
                || local_url(&listeners.result.public, links.result_base_path.as_ref());
            links.vote_url = links.vote_url.take().or_else(vote_url);
            links.result_url = links.result_url.take().or_else(result_url);
        }
    }
}

/// An address that browsers on this machine can open, where only they can come.
fn local_url(listener: &TcpListener, base_path: Option<&BasePath>) -> Option<Arc<str>> {
    let address = listener.local_addr().ok()?;
    let base_path = base_path.map_or("", BasePath::as_str);
    let url = || format!("http://localhost:{}{base_path}/", address.port()).into();
    address.ip().is_loopback().then(url)
}
