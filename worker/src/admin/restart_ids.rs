//! Lets the ids of new ballots follow the clock again.

use std::time::Duration;

use anyhow::{bail, ensure};
use prometheus::Registry;
use queue::{MAX_CLOCK_SKEW, ShardedQueue};
use store::Store;
use tokio::time::sleep;

use crate::{
    Config, WorkerMetrics,
    backlog::ahead_of_clock,
    mover::{Mover, Pace},
};

/// A worker whose last report is younger than this may still run.
const RUNS: Duration = Duration::from_secs(10);
/// Two intervals of their reports: a worker that has just started reports meanwhile.
const WATCHED: Duration = Duration::from_secs(4);

/// Moves what waits, in the place of all workers, until nothing does and the ids begin anew.
///
/// # Errors
/// The queue has several shards, another worker runs, or the queue or the store failed.
pub async fn run(store: &Store, queue: &ShardedQueue, config: &Config) -> anyhow::Result<()> {
    let [shard] = queue.shards() else {
        bail!(
            "the queue has several shards; the runbook of the alert QueueClockAhead says what to do then"
        );
    };
    ensure_no_worker_runs(store).await?;
    let mut looker = shard.consumer("admin");
    let ahead = ahead_of_clock(looker.backlog().await?.last);
    if ahead <= MAX_CLOCK_SKEW {
        println!("the ids of new ballots follow the clock");
        return Ok(());
    }
    println!(
        "the ids of new ballots are {} s ahead of the clock",
        ahead.as_secs()
    );
    let pace = Pace {
        claim_min_idle: Duration::ZERO,
        restarts_ids: true,
        ..config.pace
    };
    let metrics = WorkerMetrics::for_outcomes(&Registry::new());
    let consumer = shard.consumer("admin");
    let mut mover = Mover::new(consumer, store.clone(), config.poll.clone(), pace, metrics);
    while ahead_of_clock(looker.backlog().await?.last) > MAX_CLOCK_SKEW {
        mover.run_next().await?;
    }
    mover.leave().await;
    println!("they follow it again; start the workers");
    Ok(())
}

async fn ensure_no_worker_runs(store: &Store) -> anyhow::Result<()> {
    for wait in [Duration::ZERO, WATCHED] {
        sleep(wait).await;
        let reports = store.progress().await?;
        ensure!(
            reports.iter().all(|report| report.age > RUNS),
            "a worker has reported less than {RUNS:?} ago; stop all workers first"
        );
    }
    Ok(())
}
