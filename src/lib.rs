//! The whole voting application in one process: the services `vote`, `worker` and `result`.

mod settings;

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use web::BasePath;

pub use settings::{Addresses, Config, Settings};

/// The bound listeners of the services.
#[derive(Debug)]
pub struct Listeners {
    /// Listeners of the voting service.
    pub vote: web::Listeners,
    /// Listeners of the result service.
    pub result: web::Listeners,
    /// Listener for the worker's probes and metrics.
    pub worker: TcpListener,
}

/// Runs the three services until `shutdown` is cancelled and all have ended.
///
/// # Errors
/// A service failed or crashed. The other services are shut down first.
pub async fn run(
    mut config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    config.set_default_page_urls(&listeners);
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
    while let Some(result) = services.join_next().await {
        outcome = outcome.and(result.map_err(Into::into).flatten());
        // A single service is of little use: votes would not be counted, or the result would not change.
        shutdown.cancel();
    }
    outcome
}

impl Config {
    /// Sets the URLs of the two pages that are not configured to their URLs on this machine.
    fn set_default_page_urls(&mut self, listeners: &Listeners) {
        for urls in [&mut self.vote.links, &mut self.result.page.public_urls] {
            let vote_url = || local_url(&listeners.vote.public, urls.vote_base_path.as_ref());
            let result_url = || local_url(&listeners.result.public, urls.result_base_path.as_ref());
            urls.vote_url = urls.vote_url.take().or_else(vote_url);
            urls.result_url = urls.result_url.take().or_else(result_url);
        }
    }
}

/// The URL of a listener on a loopback address; `None` for other addresses, whose public URL is unknown.
fn local_url(listener: &TcpListener, base_path: Option<&BasePath>) -> Option<Arc<str>> {
    let address = listener.local_addr().ok()?;
    let base_path = base_path.map_or("", BasePath::as_str);
    let url = || format!("http://localhost:{}{base_path}/", address.port()).into();
    address.ip().is_loopback().then(url)
}
