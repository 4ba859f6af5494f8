//! Processes ballots: reads them from the queue and writes them to the store.
//!
//! [`processor::BallotProcessor`] processes one batch after the other. This file adds the probes, the metrics and the other tasks
//! of the service. [`admin`] contains the administration commands.

pub mod admin;
mod backlog;
mod batch;
mod comparison;
mod heartbeat;
mod metrics;
mod polls;
mod processing;
pub mod processor;
mod progress;
mod replay;
mod settings;
mod tasks;

use std::sync::Arc;

use queue::ShardedQueue;
use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::{Check, Dependency},
};
use store::Store;
use telemetry::metrics::ServiceMetrics;
use tokio_util::sync::CancellationToken;
use web::{HttpMetrics, Listeners, Probes, serve_management, undocumented_routes};

use backlog::BacklogGauge;
use heartbeat::Heartbeat;
pub use metrics::WorkerMetrics;
use processing::processors;
pub use settings::{Config, ProcessorSettings, Settings};
use tasks::BackgroundTasks;

/// The default port of this service.
pub const DEFAULT_PORT: u16 = 8082;

/// Processes ballots until `shutdown` is cancelled and the batches in flight are stored.
///
/// # Errors
/// The embedded storage cannot be opened, the store needs another version of this program, or a task of the service crashed.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let service_metrics = ServiceMetrics::new("worker");
    let metrics = WorkerMetrics::for_outcomes(&service_metrics.registry);
    let http_metrics = HttpMetrics::for_methods(&service_metrics.registry);
    service_metrics.show_exemplars(&http_metrics.http_server_request_duration_seconds);

    let queue = ShardedQueue::open(&config.queue).await?;
    let store = Store::open_with_metrics(&config.store, &service_metrics).await?;
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let shards = queue.shards();
    let dependencies = Dependencies {
        queue: Dependency::shards("queue", shards.len(), &service_metrics.common),
        store: Dependency::new("store", &service_metrics.common),
    };
    let background = BackgroundTasks {
        backlog: BacklogGauge::new(shards.len(), metrics.clone(), &service_metrics),
        store: store.clone(),
        metrics,
        shutting_down: lifecycle.shutting_down.clone(),
    };
    let processors = processors(&config, shards, &store, &background.metrics);

    let heartbeats: Arc<[_]> = processors
        .iter()
        .map(|(_, heartbeat)| heartbeat.clone())
        .collect();
    let probes = Probes {
        alive: liveness(&config, heartbeats.clone()),
        checks: readiness(&config, &dependencies, heartbeats, &queue, &store),
        lifecycle: lifecycle.clone(),
        metrics: service_metrics,
    };
    let mut tasks = Tasks::default();
    let probe_routes = serve_management(probes, listeners.management, &http_metrics, &mut tasks);
    let routes = undocumented_routes(probe_routes, &http_metrics);
    let app = web::AppService::new(routes, http_metrics, web::Site::default());

    background.spawn_probes(&mut tasks, &queue, dependencies);
    background.spawn_backlog(&mut tasks, &config, &queue);
    background.spawn_comparison(&mut tasks);
    background.spawn_progress(&mut tasks, &config);
    background.spawn_polls(&mut tasks, &config);
    tasks.spawn(
        "server",
        web::serve(
            listeners.public,
            app,
            config.server.connections,
            lifecycle.clone(),
        ),
    );
    background.spawn_processors(&mut tasks, processors, &config.poll.id);
    let outcome = lifecycle.run(tasks).await;
    store.checkpoint().await;
    outcome
}

/// The dependencies of the worker, with one entry for each shard of the queue.
struct Dependencies {
    queue: Vec<Dependency>,
    store: Dependency,
}

/// The liveness probe: fails while an iteration of a processor exceeds the liveness timeout.
fn liveness(config: &Config, heartbeats: Arc<[Heartbeat]>) -> Arc<dyn Fn() -> bool + Send + Sync> {
    let timeout = config.liveness_timeout;
    Arc::new(move || heartbeats.iter().all(|heartbeat| heartbeat.age() < timeout))
}

/// The readiness checks. A check of the queue or of the processors passes if it passes for any shard.
fn readiness(
    config: &Config,
    dependencies: &Dependencies,
    heartbeats: Arc<[Heartbeat]>,
    queue: &ShardedQueue,
    store: &Store,
) -> Arc<dyn Fn() -> Vec<Check> + Send + Sync> {
    let processors_per_shard = config.consumer_names.len();
    let (shards, store_dependency) = (dependencies.queue.clone(), dependencies.store.clone());
    let (queue, store) = (queue.clone(), store.clone());
    Arc::new(move || {
        let shards = Check::any(shards.iter().map(Dependency::check));
        let processors = heartbeats.chunks(processors_per_shard);
        shards
            .into_iter()
            .chain([store_dependency.check()])
            .chain(Check::any(processors.map(heartbeat::check)))
            .chain(Check::missing_file("queue", queue.ensure_file_in_place()))
            .chain(Check::missing_file("store", store.ensure_file_in_place()))
            .collect()
    })
}
