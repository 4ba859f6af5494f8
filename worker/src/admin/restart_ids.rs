//! Restarts the ids of new ballots at the current time.

use std::time::Duration;

use anyhow::{bail, ensure};
use prometheus::Registry;
use queue::{MAX_CLOCK_SKEW, ShardedQueue};
use store::Store;
use tokio::time::sleep;

use crate::{
    Config, WorkerMetrics,
    backlog::ahead_of_clock,
    processor::{BallotProcessor, ProcessorConfig},
};

/// A worker whose last report is younger than this may still run.
const MAX_REPORT_AGE: Duration = Duration::from_secs(10);
/// Two report intervals, within which a worker that has just started reports.
const REPORT_WAIT: Duration = Duration::from_secs(4);

/// Processes the queued ballots instead of the workers until the queue is empty and the ids restart.
///
/// # Errors
/// The queue has several shards, another worker runs, or the queue or the store failed.
pub async fn run(store: &Store, queue: &ShardedQueue, config: &Config) -> anyhow::Result<()> {
    let [shard] = queue.shards() else {
        bail!("the queue has several shards; follow the runbook of the alert QueueClockAhead");
    };
    ensure_no_worker_runs(store).await?;
    let mut observer = shard.consumer("admin");
    let ahead = ahead_of_clock(observer.backlog().await?.last);
    if ahead <= MAX_CLOCK_SKEW {
        println!("the ids of new ballots follow the clock");
        return Ok(());
    }
    println!(
        "the ids of new ballots are {} s ahead of the clock",
        ahead.as_secs()
    );
    let processor_config = ProcessorConfig {
        claim_min_idle: Duration::ZERO,
        restarts_ids: true,
        ..config.processor
    };
    let metrics = WorkerMetrics::for_outcomes(&Registry::new());
    let consumer = shard.consumer("admin");
    let mut processor = BallotProcessor::new(
        consumer,
        store.clone(),
        config.poll.clone(),
        processor_config,
        metrics,
    );
    while ahead_of_clock(observer.backlog().await?.last) > MAX_CLOCK_SKEW {
        processor.run_next().await?;
    }
    processor.remove_consumer().await;
    println!("the ids follow the clock again; start the workers");
    Ok(())
}

async fn ensure_no_worker_runs(store: &Store) -> anyhow::Result<()> {
    for wait in [Duration::ZERO, REPORT_WAIT] {
        sleep(wait).await;
        let reports = store.progress().await?;
        ensure!(
            reports.iter().all(|report| report.age > MAX_REPORT_AGE),
            "a worker reported less than {MAX_REPORT_AGE:?} ago; stop all workers first"
        );
    }
    Ok(())
}
