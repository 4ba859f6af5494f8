//! Reports the worker's progress in the store, for those who show the result.

use std::time::Duration;

use jiff::Timestamp;
use store::{Store, WorkerProgress};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{backlog::BacklogGauge, metrics::WorkerMetrics};

/// Often enough to be missed soon, and seldom enough to cost a store nothing.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reports how far this worker is, also while there is nothing to do, until the service closes.
///
/// It works beside the loops that move ballots: it matters most while none can be moved.
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
        let Some(oldest_ballot_age) = backlog.oldest_waits() else {
            continue;
        };
        let progress = WorkerProgress {
            worker: worker.to_owned(),
            last_batch_at: last_batch_at(metrics),
            oldest_ballot_age,
        };
        let reported = shutting_down.run_until_cancelled(store.report_progress(&progress));
        // A store that is away is said by its probe; whoever shows the result misses the report.
        if let Some(Err(error)) = reported.await {
            tracing::debug!(%error, "the progress cannot be reported");
        }
    }
}

fn last_batch_at(metrics: &WorkerMetrics) -> Option<Timestamp> {
    let seconds = metrics.worker_last_success_timestamp_seconds.get();
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    let moment = Timestamp::UNIX_EPOCH.checked_add(since_epoch).ok()?;
    (moment > Timestamp::UNIX_EPOCH).then_some(moment)
}
