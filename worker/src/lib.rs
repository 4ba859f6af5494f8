//! Moves ballots from the queue into the store.
//!
//! [`mover::Mover`] does it, batch by batch; this file puts probes and metrics around it. [`admin`] holds what operators
//! do with the votes.

pub mod admin;
mod backlog;
mod batch;
mod comparison;
mod heartbeat;
mod metrics;
pub mod mover;
mod progress;
mod settings;

use std::sync::Arc;

use queue::{Queue, ShardedQueue};
use retry::Backoff;
use service::{
    lifecycle::{Lifecycle, Tasks},
    probe::{Check, Dependency},
};
use store::{ErrorClass, Store};
use telemetry::metrics::ServiceMetrics;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use web::{HttpMetrics, Listeners, Probes, serve_management, undocumented_routes};

use backlog::BacklogGauge;
use heartbeat::Heartbeat;
pub use metrics::WorkerMetrics;
use mover::Mover;
pub use settings::{Config, PaceSettings, Settings};

/// The port this service listens on where none is set.
pub const DEFAULT_PORT: u16 = 8082;

/// Moves ballots until `shutdown` is cancelled and the batch in hand is stored.
///
/// # Errors
/// The embedded storage cannot be used, the store can never be used as it is, or a part of the service crashed.
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
    let queue_dependencies = Dependency::shards("queue", shards.len(), &service_metrics.common);
    let store_dependency = Dependency::new("store", &service_metrics.common);
    let backlog = BacklogGauge::new(shards.len(), metrics.clone(), &service_metrics);
    let movers = movers(&config, shards, &store, &metrics);
    let heartbeats: Arc<[_]> = movers.iter().map(|(_, heart)| heart.clone()).collect();

    let mut tasks = Tasks::default();
    let probes = {
        let (pulses, turns) = (heartbeats.clone(), heartbeats);
        let files = (queue.clone(), store.clone());
        let (queues, store) = (queue_dependencies.clone(), store_dependency.clone());
        let per_shard = config.names.len();
        Probes {
            alive: Arc::new(move || {
                pulses
                    .iter()
                    .all(|pulse| pulse.age() < config.liveness_timeout)
            }),
            checks: Arc::new(move || {
                let queue = Check::any(queues.iter().map(Dependency::check));
                let movers = Check::any(turns.chunks(per_shard).map(heartbeat::check));
                queue
                    .into_iter()
                    .chain([store.check()])
                    .chain(movers)
                    .chain(files.0.missing_file_check())
                    .chain(files.1.missing_file_check())
                    .collect()
            }),
            lifecycle: lifecycle.clone(),
            metrics: service_metrics,
        }
    };
    let probe_routes = serve_management(probes, listeners.management, &http_metrics, &mut tasks);
    let routes = undocumented_routes(probe_routes, &http_metrics);
    let answers = web::AppService::new(routes, http_metrics, web::Site::default());
    let shutting_down = lifecycle.shutting_down.clone();
    {
        let (store, shutting_down) = (store.clone(), shutting_down.clone());
        tasks.spawn("store probe", async move {
            store_dependency
                .watch(shutting_down, || store.probe_writes(), async || {})
                .await;
            Ok(())
        });
    }
    for (index, (shard, dependency)) in shards.iter().zip(queue_dependencies).enumerate() {
        let (queue, ending) = (shard.clone(), shutting_down.clone());
        tasks.spawn("queue probe", async move {
            dependency
                .watch(ending, || queue.check_ack(), async || {})
                .await;
            Ok(())
        });
        let (backlog, shutting_down) = (backlog.clone(), shutting_down.clone());
        let looker = shard.consumer(&config.names[0]);
        tasks.spawn("backlog", async move {
            backlog.watch(index, looker, &shutting_down).await;
            Ok(())
        });
    }
    {
        let (store, metrics, shutting_down) =
            (store.clone(), metrics.clone(), shutting_down.clone());
        tasks.spawn("comparison", async move {
            comparison::run(&store, &metrics, &shutting_down).await;
            Ok(())
        });
    }
    {
        let (store, shutting_down) = (store.clone(), shutting_down.clone());
        let name = config.names[0].clone();
        tasks.spawn("progress", async move {
            progress::report(&name, &store, &backlog, &metrics, &shutting_down).await;
            Ok(())
        });
    }
    tasks.spawn(
        "server",
        web::serve(
            listeners.public,
            answers,
            config.server.connections,
            lifecycle.clone(),
        ),
    );
    for (mover, heartbeat) in movers {
        let (store, shutting_down) = (store.clone(), shutting_down.clone());
        tasks.spawn("mover", async move {
            move_ballots(mover, &store, &heartbeat, &shutting_down).await
        });
    }
    let ended = lifecycle.run(tasks).await;
    store.checkpoint().await;
    ended
}

/// All movers, each with its heartbeat.
///
/// Each works as a worker of its own would, so that whatever holds for several workers holds for them. Each shard has its
/// own, so that a lost shard delays no other.
fn movers(
    config: &Config,
    shards: &[Queue],
    store: &Store,
    metrics: &WorkerMetrics,
) -> Vec<(Mover, Heartbeat)> {
    let consumers = shards
        .iter()
        .flat_map(|shard| config.names.iter().map(|name| shard.consumer(name)));
    let mover = |consumer| {
        Mover::new(
            consumer,
            store.clone(),
            config.poll.clone(),
            config.pace,
            metrics.clone(),
        )
    };
    consumers
        .map(|consumer| (mover(consumer), Heartbeat::new()))
        .collect()
}

/// The loop: goes on for ever, whatever is gone, and waits a little longer after each failure.
///
/// # Errors
/// The store was made by a newer version of this program.
async fn move_ballots(
    mut mover: Mover,
    store: &Store,
    heartbeat: &Heartbeat,
    shutting_down: &CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    while !shutting_down.is_cancelled() {
        if !store.is_migrated() {
            heartbeat.rest();
        }
        let prepared = Box::pin(store.ensure_migrated());
        let turn = match shutting_down.run_until_cancelled(prepared).await {
            Some(Ok(())) => {
                heartbeat.beat();
                mover.run_next().await
            }
            Some(Err(error)) if error.class == ErrorClass::Permanent => return Err(error.into()),
            Some(Err(error)) => Err(error.into()),
            None => break,
        };
        match turn {
            Ok(_) => {
                heartbeat.note(Ok(()));
                backoff.reset();
            }
            Err(error) => {
                heartbeat.note(Err(error.to_string()));
                let wait = backoff.next_delay();
                tracing::warn!(%error, ?wait, "ballots cannot be moved; trying again");
                shutting_down.run_until_cancelled(sleep(wait)).await;
            }
        }
    }
    mover.leave().await;
    Ok(())
}
