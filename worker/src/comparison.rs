//! Compares the running counts with the votes at the start and once an hour, to detect errors such as an incomplete restore.

use std::time::Duration;

use store::Store;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::metrics::WorkerMetrics;

const INTERVAL: Duration = Duration::from_hours(1);
/// The retry interval while the tables are not migrated or the store is unreachable.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Compares until the service shuts down.
pub async fn run(store: &Store, metrics: &WorkerMetrics, shutting_down: &CancellationToken) {
    while !shutting_down.is_cancelled() {
        let wait = if store.is_migrated() && compare(store, metrics, shutting_down).await {
            INTERVAL
        } else {
            RETRY_INTERVAL
        };
        shutting_down.run_until_cancelled(sleep(wait)).await;
    }
}

/// Compares once. Returns false if the comparison failed.
async fn compare(
    store: &Store,
    metrics: &WorkerMetrics,
    shutting_down: &CancellationToken,
) -> bool {
    let Some(Ok(comparison)) = shutting_down
        .run_until_cancelled(store.compare_counts())
        .await
    else {
        return false;
    };
    let votes = comparison.votes();
    metrics
        .worker_tally_difference_votes
        .set(votes.cast_signed());
    if !comparison.is_equal() {
        tracing::error!(
            votes.difference = votes,
            timeline.steps = comparison.timeline_steps,
            "the running counts differ from the votes; admin check lists the differences, admin recount corrects them"
        );
    }
    true
}
