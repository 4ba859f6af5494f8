//! The voting page and its API.
//!
//! A ballot walks through [`page`] or [`api`], which find out who votes (`identity`) and for what, to `intake`,
//! which hands it to the queue and says "accepted" only after the queue has it.

mod admission;
pub mod api;
mod assets;
mod cookie_key;
mod described;
mod form;
mod identity;
mod intake;
pub mod page;
mod rate_limit;
mod refusal;
mod routes;
mod same_site;
pub mod seed;
mod sent;
mod settings;
mod texts;

use std::sync::Arc;

use shared::{
    http::{self, HttpMetrics, Probes, probe_routes},
    lifecycle::{Lifecycle, Tasks},
    metrics::ServiceMetrics,
    probe::Dependency,
    queue::{Durability, Queue},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use admission::Admission;
pub use intake::VoteMetrics;
use rate_limit::RateLimits;
pub use rate_limit::{RateConfig, RateSettings};
pub use settings::{Config, CookieSettings, Settings};

/// The port this service listens on where none is set.
pub const DEFAULT_PORT: u16 = 8080;

/// Serves until `shutdown` is cancelled and the voters in hand are answered.
///
/// # Errors
/// The embedded queue or the cookie key cannot be used, or a part of the service crashed.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let queue = Queue::open(&config.queue).await?;
    let admission = Admission::new(config.queue.enqueue_timeout / 2);
    let service_metrics = ServiceMetrics::new("vote");
    let metrics = VoteMetrics::for_poll(&service_metrics.registry, &config.poll);
    let http_metrics = HttpMetrics::for_methods(&service_metrics.registry);
    {
        let (metrics, admission) = (metrics.clone(), admission.clone());
        service_metrics.before_each_scrape(move || metrics.note_limit(&admission));
    }
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let dependency = Dependency::new("queue", &service_metrics.common);

    let probes = {
        let dependency = dependency.clone();
        Probes {
            alive: Arc::new(|| true),
            checks: Arc::new(move || vec![dependency.check()]),
            lifecycle: lifecycle.clone(),
            metrics: service_metrics,
        }
    };
    let behind_https = config.cookie_keys.secure;
    let rates = RateLimits::new(config.rates);
    let app = routes::App::new(
        config.poll,
        config.cookie_keys,
        config.links,
        queue.clone(),
        metrics.clone(),
        admission.clone(),
        rates.clone(),
    );
    let routes = routes::routes(
        app,
        probe_routes(probes),
        config.origins.as_ref(),
        &http_metrics,
    );
    let answers = http::Answers::new(routes, http_metrics, behind_https);

    let mut tasks = Tasks::default();
    let closing = lifecycle.closing.clone();
    tasks.spawn("queue probe", async move {
        let on_up = || note_durability(&queue, &metrics);
        dependency
            .watch(closing, || queue.probe_enqueue(), on_up)
            .await;
        Ok(())
    });
    let closing = lifecycle.closing.clone();
    tasks.spawn("admission", async move {
        admission.watch(&closing).await;
        Ok(())
    });
    let closing = lifecycle.closing.clone();
    tasks.spawn("rate limits", async move {
        rates.keep_small(&closing).await;
        Ok(())
    });
    let (connections, ending) = (config.server.connections, lifecycle.clone());
    tasks.spawn(
        "server",
        http::serve(listener, answers, connections, ending),
    );
    lifecycle.run(tasks).await
}

/// Accepted means kept only if the queue's server keeps it: a weaker one is used, but never silently.
async fn note_durability(queue: &Queue, metrics: &VoteMetrics) {
    match queue.durability().await {
        Ok(Durability::Full) => metrics.queue_durable.set(1),
        Ok(Durability::Weaker(why)) => {
            metrics.queue_durable.set(0);
            tracing::warn!(why, "the queue's server may lose accepted votes in a crash");
        }
        Err(error) => tracing::warn!(%error, "the queue's durability cannot be told"),
    }
}
