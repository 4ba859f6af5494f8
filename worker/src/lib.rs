//! Moves ballots from the queue into the store.
//!
//! [`mover::Mover`] does it, batch by batch; this file puts probes and metrics around it. [`admin`] holds what operators
//! do with the votes.

pub mod admin;
mod backlog;
mod batch;
mod heartbeat;
mod metrics;
pub mod mover;
mod settings;

use std::sync::Arc;

use shared::{
    backoff::Backoff,
    http::{self, HttpMetrics, Probes, probe_routes, undocumented_routes},
    lifecycle::{Lifecycle, Tasks},
    metrics::ServiceMetrics,
    probe::Dependency,
    queue::Queue,
    store::Store,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

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
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let service_metrics = ServiceMetrics::new("worker");
    let metrics = WorkerMetrics::for_outcomes(&service_metrics.registry);
    let http_metrics = HttpMetrics::for_methods(&service_metrics.registry);
    let queue = Queue::open(&config.queue).await?;
    let store = Store::open_measured(&config.store, &service_metrics).await?;
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let dependencies =
        ["queue", "store"].map(|name| Dependency::new(name, &service_metrics.common));
    let backlog = BacklogGauge::new(
        queue.consumer(&config.names[0]),
        metrics.clone(),
        &service_metrics,
    );
    // Each works as a worker of its own would, so that whatever holds for several workers holds for them.
    let movers: Vec<_> = config
        .names
        .iter()
        .map(|name| {
            let mover = Mover::new(
                queue.consumer(name),
                store.clone(),
                config.poll.clone(),
                config.pace,
                metrics.clone(),
            );
            (mover, Heartbeat::new())
        })
        .collect();
    let heartbeats: Arc<[_]> = movers.iter().map(|(_, heart)| heart.clone()).collect();

    let probes = {
        let (pulses, turns, dependencies) = (heartbeats.clone(), heartbeats, dependencies.clone());
        Probes {
            alive: Arc::new(move || pulses.iter().all(|pulse| pulse.age() < config.stuck_after)),
            checks: Arc::new(move || {
                let dependencies = dependencies.iter().map(Dependency::check);
                dependencies.chain([heartbeat::check(&turns)]).collect()
            }),
            lifecycle: lifecycle.clone(),
            metrics: service_metrics,
        }
    };
    let routes = undocumented_routes(probe_routes(probes), &http_metrics);
    let answers = http::Answers::new(routes, http_metrics, false);
    let mut tasks = Tasks::default();
    let closing = lifecycle.closing.clone();
    let [queue_dependency, store_dependency] = dependencies;
    {
        let (store, closing) = (store.clone(), closing.clone());
        tasks.spawn("store probe", async move {
            store_dependency
                .watch(closing, || store.probe_writes(), async || {})
                .await;
            Ok(())
        });
    }
    {
        let closing = closing.clone();
        tasks.spawn("queue probe", async move {
            queue_dependency
                .watch(closing, || queue.probe_acknowledge(), async || {})
                .await;
            Ok(())
        });
    }
    {
        let closing = closing.clone();
        tasks.spawn("backlog", async move {
            backlog.watch(&closing).await;
            Ok(())
        });
    }
    tasks.spawn(
        "server",
        http::serve(
            listener,
            answers,
            config.server.connections,
            lifecycle.clone(),
        ),
    );
    for (mover, heartbeat) in movers {
        let (store, closing) = (store.clone(), closing.clone());
        tasks.spawn("mover", async move {
            store.prepare_patiently(&closing).await?;
            heartbeat.note(Ok(()));
            move_ballots(mover, &heartbeat, &closing).await;
            Ok(())
        });
    }
    lifecycle.run(tasks).await
}

/// The loop: goes on for ever, whatever is gone, and waits a little longer after each failure.
async fn move_ballots(mut mover: Mover, heartbeat: &Heartbeat, closing: &CancellationToken) {
    let mut backoff = Backoff::default();
    while !closing.is_cancelled() {
        heartbeat.beat();
        match mover.run_next().await {
            Ok(_) => {
                heartbeat.note(Ok(()));
                backoff.reset();
            }
            Err(error) => {
                heartbeat.note(Err(error.to_string()));
                let wait = backoff.next_wait();
                tracing::warn!(%error, ?wait, "ballots cannot be moved; trying again");
                closing.run_until_cancelled(sleep(wait)).await;
            }
        }
    }
    mover.leave().await;
}
