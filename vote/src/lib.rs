//! The voting page and its API.
//!
//! A vote arrives as a `vote_request` at a handler in `page` or `api`. The handler parses the choice (`form`, `vote_document`)
//! and reads the voter from a cookie (`identity`). `vote_service` validates the vote and enqueues it (`enqueue`). The vote is
//! accepted only after the queue has stored it.

mod api;
mod assets;
mod cookie_key;
mod enqueue;
mod form;
#[cfg(fuzzing)]
pub mod fuzzing;
mod identity;
mod metrics;
mod openapi;
mod page;
mod page_template;
mod rate_limit;
mod rate_settings;
mod routes;
pub mod seed;
mod settings;
mod shard_monitor;
mod state;
mod texts;
mod vote_document;
mod vote_error;
mod vote_request;
mod vote_service;

use std::{sync::Arc, time::Duration};

use queue::{Queue, ShardedQueue};
use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::{Check, Dependency},
};
use telemetry::metrics::ServiceMetrics;
use tokio_util::sync::CancellationToken;
use web::{HttpMetrics, Listeners, Probes, PublicOrigins, csrf::CsrfCheck, serve_management};

use enqueue::{ConcurrencyLimit, EnqueueBatcher, QueueRuntime};
use metrics::Audience;
pub use metrics::VoteMetrics;
use rate_limit::RateLimits;
pub use rate_settings::{RateConfig, RateSettings};
pub use settings::{Config, CookieSettings, Settings};
use shard_monitor::ShardMonitor;
use state::AppState;
use vote_service::{FailureLog, VoteService};

/// Default port of the service.
pub const DEFAULT_PORT: u16 = 8080;

/// Serves until `shutdown` is cancelled and all requests in flight are answered.
///
/// # Errors
/// The embedded queue or the cookie key cannot be used, or a task of the service crashed.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let queue_runtime = QueueRuntime::start()?;
    let enqueue_timeout = config.queue.enqueue_timeout;
    let queue = queue_runtime
        .run(async move { ShardedQueue::open(&config.queue).await })
        .await?;
    let shards = start_batchers(&queue, enqueue_timeout, &queue_runtime);

    let service_metrics = ServiceMetrics::new("vote");
    let audience = Audience::for_poll(&config.poll, listeners.management.is_some());
    let metrics = VoteMetrics::for_poll(&service_metrics.registry, &config.poll, audience);
    let http_metrics = HttpMetrics::for_methods(&service_metrics.registry);
    service_metrics.show_exemplars(&http_metrics.http_server_request_duration_seconds);
    {
        let (metrics, shards) = (metrics.clone(), shards.clone());
        service_metrics.on_scrape(move || metrics.update_limit_gauge(&shards));
    }

    let mut tasks = Tasks::default();
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let dependencies = Dependency::shards("queue", queue.shards().len(), &service_metrics.common);
    let probes = probes(&dependencies, &queue, &lifecycle, service_metrics);
    let management = serve_management(probes, listeners.management, &http_metrics, &mut tasks);

    let base_path = config.links.vote_base_path.clone().unwrap_or_default();
    let votes = VoteService {
        poll: Arc::new(config.poll),
        csrf: csrf_check(
            config.site.public_origins.clone(),
            config.links.vote_url.as_deref(),
        ),
        shards,
        metrics: metrics.clone(),
        audience,
        rates: RateLimits::new(&config.rates),
        log: FailureLog::default(),
    };
    let state = Arc::new(AppState::new(votes, config.cookie_keys, config.links));
    let routes = routes::routes(state, management, config.origins.as_ref(), &http_metrics);
    let app = web::AppService::new(routes, http_metrics, config.site)
        .on_rejected(routes::count_rejected(metrics.clone()))
        .with_base_path(base_path)
        .with_dependency_timeout(enqueue_timeout);

    let monitor = ShardMonitor::new(queue.clone(), metrics);
    monitor.spawn(dependencies, &lifecycle, &queue_runtime, &mut tasks);
    tasks.spawn(
        "server",
        web::serve(
            listeners.public,
            app,
            config.server.connections,
            lifecycle.clone(),
        ),
    );
    let result = lifecycle.run(tasks).await;
    queue_runtime
        .run(async move { queue.checkpoint().await })
        .await;
    result
}

fn start_batchers(
    queue: &ShardedQueue,
    enqueue_timeout: Duration,
    runtime: &QueueRuntime,
) -> Arc<[EnqueueBatcher]> {
    let start = |shard: &Queue| {
        let limit = ConcurrencyLimit::new(enqueue_timeout / 2);
        EnqueueBatcher::start(shard.clone(), limit, runtime)
    };
    queue.shards().iter().map(start).collect()
}

fn csrf_check(public_origins: PublicOrigins, vote_url: Option<&str>) -> CsrfCheck {
    CsrfCheck::new(match vote_url {
        Some(url) => public_origins.with_page(url),
        None => public_origins,
    })
}

fn probes(
    dependencies: &[Dependency],
    queue: &ShardedQueue,
    lifecycle: &Lifecycle,
    metrics: ServiceMetrics,
) -> Probes {
    let (dependencies, queue) = (dependencies.to_vec(), queue.clone());
    Probes {
        alive: Arc::new(|| true),
        // One unreachable shard must not take every replica out of service.
        checks: Arc::new(move || {
            let checks = dependencies.iter().map(Dependency::check);
            Check::any(checks)
                .into_iter()
                .chain(Check::missing_file("queue", queue.ensure_file_in_place()))
                .collect()
        }),
        lifecycle: lifecycle.clone(),
        metrics,
    }
}
