//! What waits in the queue. It is measured beside the loop that moves ballots: it matters most while none can be moved.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use shared::{
    metrics::ServiceMetrics,
    queue::{Backlog, Consumer},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics::WorkerMetrics;

const INTERVAL: Duration = Duration::from_secs(1);
/// A shard that has not been seen for longer may hold ballots that nobody knows of.
const UNSEEN_AFTER: Duration = Duration::from_secs(3);

/// Measures what waits in the queue, in all its shards. Cloning is cheap; clones share what they know.
#[derive(Clone)]
pub struct BacklogGauge {
    metrics: WorkerMetrics,
    shards: Shards,
}

/// What each shard was last seen to hold.
type Shards = Arc<Mutex<Vec<Seen>>>;

/// The last observation of one shard, and its time.
#[derive(Clone, Copy)]
struct Seen {
    backlog: Backlog,
    /// Before the first look: when looking began.
    at: Instant,
    is_known: bool,
}

impl BacklogGauge {
    /// A gauge that has not looked yet.
    pub fn new(shards: usize, metrics: WorkerMetrics, service: &ServiceMetrics) -> Self {
        let unknown = Seen {
            backlog: Backlog::default(),
            at: Instant::now(),
            is_known: false,
        };
        let shards = Arc::new(Mutex::new(vec![unknown; shards]));
        {
            let (shards, age) = (
                shards.clone(),
                metrics.worker_oldest_unacked_age_seconds.clone(),
            );
            // A ballot ages, too, while the queue cannot be asked.
            service.before_each_scrape(move || {
                let oldest = sum(&shards).oldest;
                let waits = oldest.map_or(Duration::ZERO, |oldest| age_of(oldest.ms));
                age.set(waits.as_secs_f64());
            });
        }
        Self { metrics, shards }
    }

    /// Looks into one of the shards every second, until the service closes. Whether it answers is for its probe to say.
    pub async fn watch(self, shard: usize, mut looker: Consumer, closing: &CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while closing.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(Ok(backlog)) = closing.run_until_cancelled(looker.backlog()).await else {
                continue;
            };
            self.shards.lock().unwrap_or_else(PoisonError::into_inner)[shard] = Seen {
                backlog,
                at: Instant::now(),
                is_known: true,
            };
            let all = sum(&self.shards);
            self.metrics
                .worker_stream_pending_entries
                .set(all.pending.cast_signed());
            self.metrics
                .worker_stream_lag_entries
                .set(all.undelivered.cast_signed());
        }
    }

    /// The age of the oldest ballot of all shards; zero if there is none. While a shard cannot be seen, its
    /// ballots may have waited for as long. `None`: there has been no look at some shard yet.
    pub fn oldest_waits(&self) -> Option<Duration> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let each: Option<Vec<_>> = shards.iter().copied().map(Seen::oldest_waits).collect();
        each?.into_iter().max()
    }
}

impl Seen {
    fn oldest_waits(self) -> Option<Duration> {
        let oldest = self.backlog.oldest.map(|oldest| age_of(oldest.ms));
        let unseen = Some(self.at.elapsed()).filter(|unseen| *unseen > UNSEEN_AFTER);
        let waits = oldest.max(unseen);
        waits.or(self.is_known.then_some(Duration::ZERO))
    }
}

fn sum(shards: &Shards) -> Backlog {
    let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
    shards
        .iter()
        .map(|seen| seen.backlog)
        .fold(Backlog::default(), |sum, shard| Backlog {
            pending: sum.pending + shard.pending,
            undelivered: sum.undelivered + shard.undelivered,
            oldest: sum.oldest.into_iter().chain(shard.oldest).min(),
        })
}

/// How long ago this millisecond since the Unix epoch was.
pub fn age_of(ms: u64) -> Duration {
    let now_ms = Timestamp::now().as_millisecond();
    let age_ms = now_ms.saturating_sub_unsigned(ms).max(0);
    Duration::from_millis(age_ms.unsigned_abs())
}
