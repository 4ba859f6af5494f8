//! The voting page and its API.
//!
//! A ballot walks from what was `sent` through [`page`] or [`api`], which find out who votes (`identity`) and for what, to
//! `intake`, which hands it to the queue and says "accepted" only after the queue has it.

mod admission;
pub mod api;
mod assets;
mod cookie_key;
mod csrf;
mod described;
mod form;
#[cfg(fuzzing)]
pub mod fuzzing;
mod identity;
mod intake;
mod line;
pub mod page;
mod queue_thread;
mod rate_limit;
mod refusal;
mod routes;
pub mod seed;
mod sent;
mod settings;
mod texts;
mod vote_document;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use queue::{Durability, Queue, ShardedQueue};
use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::{Check, Dependency},
};
use telemetry::metrics::ServiceMetrics;
use tokio_util::sync::CancellationToken;
use web::{HttpMetrics, Listeners, Probes, serve_management};

use admission::Admission;
pub use intake::VoteMetrics;
use intake::{Audience, Intake};
use line::Line;
use queue_thread::QueueThread;
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
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let queue_thread = QueueThread::start()?;
    let enqueue_timeout = config.queue.enqueue_timeout;
    let queue = queue_thread
        .run(async move { ShardedQueue::open(&config.queue).await })
        .await?;
    let shards = queue.shards().len();
    let line = |shard: &Queue| {
        let admission = Admission::new(enqueue_timeout / 2);
        Line::open(shard.clone(), admission, &queue_thread)
    };
    let lines: Arc<[_]> = queue.shards().iter().map(line).collect();
    let service_metrics = ServiceMetrics::new("vote");
    let audience = Audience::of(&config.poll, listeners.management.is_some());
    let metrics = VoteMetrics::for_poll(&service_metrics.registry, &config.poll, audience);
    let http_metrics = HttpMetrics::for_methods(&service_metrics.registry);
    service_metrics.show_exemplars(&http_metrics.http_server_request_duration_seconds);
    {
        let (metrics, lines) = (metrics.clone(), lines.clone());
        service_metrics.on_scrape(move || metrics.note_limit(&lines));
    }
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let dependencies = Dependency::shards("queue", shards, &service_metrics.common);

    let mut tasks = Tasks::default();
    let probes = {
        let (dependencies, queue) = (dependencies.clone(), queue.clone());
        Probes {
            alive: Arc::new(|| true),
            // One shard that is lost must not take every replica out of service.
            checks: Arc::new(move || {
                let checks = dependencies.iter().map(Dependency::check);
                Check::any(checks)
                    .into_iter()
                    .chain(queue.missing_file_check())
                    .collect()
            }),
            lifecycle: lifecycle.clone(),
            metrics: service_metrics,
        }
    };
    let rates = RateLimits::new(&config.rates);
    let intake = Intake {
        poll: Arc::new(config.poll),
        lines,
        metrics: metrics.clone(),
        audience,
        rates,
        log: Arc::default(),
    };
    let base_path = config.links.vote_base_path.clone().unwrap_or_default();
    let app = routes::App::new(
        intake,
        config.cookie_keys,
        config.links,
        config.site.public_origins.clone(),
    );
    let routes = routes::routes(
        app,
        serve_management(probes, listeners.management, &http_metrics, &mut tasks),
        config.origins.as_ref(),
        &http_metrics,
    );
    let answers = web::AppService::new(routes, http_metrics, config.site)
        .on_rejected(routes::count_refused(metrics.clone()))
        .with_base_path(base_path)
        .with_dependency_timeout(enqueue_timeout);

    let durable: Arc<[_]> = (0..shards).map(|_| AtomicBool::new(false)).collect();
    for (shard, dependency) in dependencies.into_iter().enumerate() {
        let shutting_down = lifecycle.shutting_down.clone();
        let (queue, metrics, durable) = (
            queue.shards()[shard].clone(),
            metrics.clone(),
            durable.clone(),
        );
        let queue_thread = queue_thread.clone();
        tasks.spawn("queue probe", async move {
            let watch = async move {
                let on_up = async || {
                    note_durability(&queue, &durable[shard]).await;
                    let all = durable.iter().all(|shard| shard.load(Ordering::Relaxed));
                    metrics.queue_durable.set(all.into());
                };
                dependency
                    .watch(shutting_down, || queue.check_write(), on_up)
                    .await;
            };
            queue_thread.run(watch).await;
            Ok(())
        });
    }
    let (connections, ending) = (config.server.connections, lifecycle.clone());
    tasks.spawn(
        "server",
        web::serve(listeners.public, answers, connections, ending),
    );
    let ended = lifecycle.run(tasks).await;
    queue_thread
        .run(async move { queue.checkpoint().await })
        .await;
    ended
}

/// Accepted means kept only if the queue's server keeps it: a weaker one is used, but never silently.
async fn note_durability(queue: &Queue, durable: &AtomicBool) {
    match queue.durability().await {
        Ok(Durability::Full) => durable.store(true, Ordering::Relaxed),
        Ok(Durability::Managed) => {
            durable.store(true, Ordering::Relaxed);
            tracing::info!(
                queue = queue.name(),
                "the queue's durability is not asked: QUEUE_DURABILITY says that its service keeps accepted votes"
            );
        }
        Ok(Durability::Degraded(why)) => {
            durable.store(false, Ordering::Relaxed);
            tracing::warn!(
                queue = queue.name(),
                why,
                "the queue's server may lose accepted votes in a crash"
            );
        }
        Err(error) => {
            tracing::warn!(queue = queue.name(), %error, "the queue's durability cannot be told");
        }
    }
}
