//! The loop of each ballot processor, with retries and heartbeats.

use std::time::Duration;

use poll::PollId;
use queue::Queue;
use retry::Backoff;
use store::{ErrorClass, Store};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    Config, WorkerMetrics,
    heartbeat::Heartbeat,
    processor::{BallotProcessor, ProcessError, Progress},
};

/// Creates the processors of all shards, each with its heartbeat.
///
/// Each processor works like a separate worker, so that all guarantees for several workers also hold within one worker. Each shard
/// has processors of its own, so that an unreachable shard does not delay the others.
pub fn processors(
    config: &Config,
    shards: &[Queue],
    store: &Store,
    metrics: &WorkerMetrics,
) -> Vec<(BallotProcessor, Heartbeat)> {
    let names = &config.consumer_names;
    let consumers = shards
        .iter()
        .flat_map(|shard| names.iter().map(|name| shard.consumer(name)));
    let processor = |consumer| {
        BallotProcessor::new(
            consumer,
            store.clone(),
            config.poll.clone(),
            config.processor,
            metrics.clone(),
        )
    };
    consumers
        .map(|consumer| (processor(consumer), Heartbeat::new()))
        .collect()
}

/// Processes ballots until the service shuts down. Retries failed iterations with backoff.
///
/// # Errors
/// The store was migrated by a newer version of this program.
pub async fn process_ballots(
    mut processor: BallotProcessor,
    store: &Store,
    settings_poll: &PollId,
    heartbeat: &Heartbeat,
    shutting_down: &CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    while !shutting_down.is_cancelled() {
        if !store.is_migrated() {
            heartbeat.pause();
        }
        let migrated = Box::pin(store.ensure_migrated(settings_poll));
        let iteration = match shutting_down.run_until_cancelled(migrated).await {
            Some(Ok(())) => {
                heartbeat.beat();
                processor.run_next().await
            }
            Some(Err(error)) if error.class == ErrorClass::Permanent => return Err(error.into()),
            Some(Err(error)) => Err(error.into()),
            None => break,
        };
        if let Some(delay) = record(&iteration, heartbeat, &mut backoff) {
            shutting_down.run_until_cancelled(sleep(delay)).await;
        }
    }
    processor.remove_consumer().await;
    Ok(())
}

/// Records the outcome of an iteration. Returns the delay before the next iteration if this one failed.
fn record(
    iteration: &Result<Progress, ProcessError>,
    heartbeat: &Heartbeat,
    backoff: &mut Backoff,
) -> Option<Duration> {
    match iteration {
        Ok(_) => {
            heartbeat.record(Ok(()));
            backoff.reset();
            None
        }
        Err(error) => {
            heartbeat.record(Err(error.to_string()));
            let delay_ms = backoff.next_delay_ms();
            tracing::warn!(%error, retry.in_ms = delay_ms, "processing ballots failed");
            Some(Duration::from_millis(delay_ms))
        }
    }
}
