//! Moves ballots from the queue into the store.
//!
//! [`mover::Mover`] does it, batch by batch; this file puts probes and metrics around it. [`admin`] holds what operators
//! do with the votes.

pub mod admin;
mod batch;
mod heartbeat;
mod metrics;
pub mod mover;
mod settings;

use std::sync::Arc;

use shared::{
    backoff::Backoff,
    http::{self, HttpMetrics, Probes, probe_routes},
    lifecycle::{Lifecycle, Tasks},
    metrics::service_registry,
    probe::Dependency,
    queue::Queue,
    store::Store,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

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
    let queue = Queue::open(&config.queue).await?;
    let store = Store::open(&config.store).await?;
    let (registry, common) = service_registry("worker");
    let metrics = WorkerMetrics::for_outcomes(&registry);
    let lifecycle = Lifecycle::new(shutdown, config.server.drain);
    let dependencies = [Dependency::new("queue"), Dependency::new("store")];
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
            registry: registry.clone(),
        }
    };
    let http_metrics = HttpMetrics::new(&registry);
    let routes = http::with_layers(probe_routes(probes).into(), http_metrics.clone(), false);
    let mut tasks = Tasks::default();
    let closing = lifecycle.closing.clone();
    let [queue_dependency, store_dependency] = dependencies;
    {
        let (store, common, closing) = (store.clone(), common.clone(), closing.clone());
        tasks.spawn("store probe", async move {
            store_dependency
                .watch(common, closing, || store.probe_writes(), async || {})
                .await;
            Ok(())
        });
    }
    {
        let closing = closing.clone();
        tasks.spawn("queue probe", async move {
            queue_dependency
                .watch(common, closing, || queue.probe_acknowledge(), async || {})
                .await;
            Ok(())
        });
    }
    tasks.spawn(
        "server",
        http::serve(
            listener,
            routes,
            config.server.connections,
            http_metrics,
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
