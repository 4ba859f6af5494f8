//! Reports the worker's progress in the store, for the result service.

use std::time::Duration;

use jiff::Timestamp;
use store::{Store, WorkerProgress};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{backlog::BacklogGauge, metrics::WorkerMetrics};

/// A missing report is noticed soon, and the load on the store is negligible.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reports the progress of this worker, also while the queue is empty, until the service shuts down.
///
/// It runs in a task of its own, because the progress matters most while no ballot can be processed.
pub async fn report(
    worker: &str,
    store: &Store,
    backlog: &BacklogGauge,
    metrics: &WorkerMetrics,
    shutting_down: &CancellationToken,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutting_down
        .run_until_cancelled(ticks.tick())
        .await
        .is_some()
    {
        let Some(oldest_ballot_age) = backlog.max_wait() else {
            continue;
        };
        let progress = WorkerProgress {
            worker: worker.to_owned(),
            last_batch_at: last_batch_at(metrics),
            oldest_ballot_age,
        };
        let reported = shutting_down.run_until_cancelled(store.report_progress(&progress));
        // The store's probe reports an unreachable store, and the result service notices the missing report.
        if let Some(Err(error)) = reported.await {
            tracing::debug!(%error, "reporting the progress failed");
        }
    }
}

fn last_batch_at(metrics: &WorkerMetrics) -> Option<Timestamp> {
    let seconds = metrics.worker_last_success_timestamp_seconds.get();
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    let timestamp = Timestamp::UNIX_EPOCH.checked_add(since_epoch).ok()?;
    (timestamp > Timestamp::UNIX_EPOCH).then_some(timestamp)
}
