//! What waits in the queue. It is measured beside the loop that moves ballots: it matters most while none can be moved.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use shared::{metrics::ServiceMetrics, queue::Consumer};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics::WorkerMetrics;

const INTERVAL: Duration = Duration::from_secs(1);

/// Measures what waits in the queue.
pub struct BacklogGauge {
    queue: Consumer,
    metrics: WorkerMetrics,
    oldest: Oldest,
}

impl BacklogGauge {
    /// A gauge that has not looked yet.
    pub fn new(queue: Consumer, metrics: WorkerMetrics, service: &ServiceMetrics) -> Self {
        let oldest = Oldest::default();
        {
            let (oldest, age) = (
                oldest.clone(),
                metrics.worker_oldest_unacked_age_seconds.clone(),
            );
            // A ballot ages, too, while the queue cannot be asked.
            service.before_each_scrape(move || age.set(oldest.age().as_secs_f64()));
        }
        Self {
            queue,
            metrics,
            oldest,
        }
    }

    /// Looks every second, until the service closes. Whether the queue answers is for its probe to say.
    pub async fn watch(mut self, closing: &CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(Ok(backlog)) = closing.run_until_cancelled(self.queue.backlog()).await else {
                continue;
            };
            self.oldest
                .set(backlog.oldest.map_or(0, |oldest| oldest.ms));
            self.metrics
                .worker_stream_pending_entries
                .set(backlog.pending.cast_signed());
            self.metrics
                .worker_stream_lag_entries
                .set(backlog.undelivered.cast_signed());
        }
    }
}

/// When the oldest ballot was cast, in milliseconds since the Unix epoch; 0: there is none.
#[derive(Clone, Default)]
struct Oldest(Arc<AtomicU64>);

impl Oldest {
    fn set(&self, cast_ms: u64) {
        self.0.store(cast_ms, Ordering::Relaxed);
    }

    fn age(&self) -> Duration {
        match self.0.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            cast_ms => age_of(cast_ms),
        }
    }
}

/// How long ago this millisecond since the Unix epoch was.
pub fn age_of(ms: u64) -> Duration {
    let now_ms = Timestamp::now().as_millisecond();
    let age_ms = now_ms.saturating_sub_unsigned(ms).max(0);
    Duration::from_millis(age_ms.unsigned_abs())
}
