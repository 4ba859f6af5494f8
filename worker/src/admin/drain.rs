//! Waits until accepted ballots are counted.

use std::time::Duration;

use anyhow::bail;
use futures_util::future::try_join_all;
use queue::{Queue, ShardedQueue};
use tokio::time::{Instant, sleep};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until the ballots accepted so far are counted. Ballots accepted during the wait are not waited for, because that would not end
/// while votes arrive.
///
/// # Errors
/// Some are not counted after `timeout`, or the queue failed.
pub async fn wait(queue: &ShardedQueue, timeout: Duration) -> anyhow::Result<()> {
    let shards = queue.shards().iter();
    try_join_all(shards.map(|shard| wait_for_shard(shard, timeout))).await?;
    Ok(())
}

async fn wait_for_shard(queue: &Queue, timeout: Duration) -> anyhow::Result<()> {
    let Some(last_id) = queue.last_id().await? else {
        return Ok(());
    };
    let mut consumer = queue.consumer("admin");
    let deadline = Instant::now() + timeout;
    loop {
        let backlog = consumer.trim().await?;
        if backlog.oldest.is_none_or(|oldest| oldest > last_id) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!(
                "after {timeout:?} some accepted ballots are still not counted ({} waiting, {} with a worker), so nothing was deleted; \
                 a worker must run; if it does, close the poll or wait longer with --wait",
                backlog.lag,
                backlog.pending
            );
        }
        sleep(POLL_INTERVAL).await;
    }
}
