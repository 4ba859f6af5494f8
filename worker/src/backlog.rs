//! Measures the backlog of the queue. It runs in a task of its own, because the backlog matters most while no ballot can be
//! processed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use poll::ballot::BallotId;
use queue::{Backlog, Consumer, MAX_CLOCK_SKEW};
use telemetry::metrics::ServiceMetrics;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::metrics::WorkerMetrics;

const INTERVAL: Duration = Duration::from_secs(1);
/// Time without an observation after which a shard may hold unknown ballots.
const UNOBSERVED_AFTER: Duration = Duration::from_secs(3);

/// Measures the backlog of all shards of the queue. Cloning is cheap; clones share their observations.
#[derive(Clone)]
pub struct BacklogGauge {
    metrics: WorkerMetrics,
    shards: Shards,
}

/// The last observation of each shard.
type Shards = Arc<Mutex<Vec<ShardObservation>>>;

/// The last observation of one shard.
#[derive(Clone, Copy)]
struct ShardObservation {
    backlog: Backlog,
    /// The time of the observation, or of the start before the first one.
    observed_at: Instant,
    is_known: bool,
    /// The time at which the oldest ballot was first observed as the oldest. The time in its id is that of the queue's clock, which
    /// may have been wrong when the vote was cast.
    oldest_since: Instant,
}

impl BacklogGauge {
    /// A gauge with no observations.
    pub fn new(shards: usize, metrics: WorkerMetrics, service: &ServiceMetrics) -> Self {
        let now = Instant::now();
        let unknown = ShardObservation {
            backlog: Backlog::default(),
            observed_at: now,
            is_known: false,
            oldest_since: now,
        };
        let shards = Arc::new(Mutex::new(vec![unknown; shards]));
        {
            let (shards, age) = (
                shards.clone(),
                metrics.worker_oldest_unacked_age_seconds.clone(),
            );
            // The age also grows while the queue is unreachable.
            service.on_scrape(move || {
                let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
                let oldest = shards.iter().filter_map(ShardObservation::oldest_age).max();
                age.set(oldest.unwrap_or_default().as_secs_f64());
            });
        }
        Self { metrics, shards }
    }

    /// Observes one shard every second until the service shuts down. Failures are ignored here; the shard's probe reports them.
    pub async fn watch(
        self,
        shard: usize,
        mut consumer: Consumer,
        shutting_down: &CancellationToken,
    ) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutting_down
            .run_until_cancelled(ticks.tick())
            .await
            .is_some()
        {
            let Some(Ok(backlog)) = shutting_down.run_until_cancelled(consumer.backlog()).await
            else {
                continue;
            };
            self.record(shard, backlog);
        }
    }

    fn record(&self, shard: usize, backlog: Backlog) {
        let before = {
            let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
            let before = shards[shard];
            shards[shard] = before.followed_by(backlog);
            before.is_known.then_some(before.backlog)
        };
        let lost = before.map_or(backlog.removed, |before| lost_between(&before, &backlog));
        if lost > 0 {
            self.metrics.worker_ballots_lost_total.inc_by(lost);
            tracing::error!(
                ballots.lost = lost,
                "ballots were removed from the queue before they were stored"
            );
        }
        let all = sum(&self.shards);
        self.metrics
            .worker_stream_pending_entries
            .set(all.pending.cast_signed());
        self.metrics
            .worker_stream_lag_entries
            .set(all.lag.cast_signed());
        let ahead = ahead_of_clock(all.last);
        let ahead = Some(ahead).filter(|ahead| *ahead > MAX_CLOCK_SKEW);
        self.metrics
            .worker_queue_clock_ahead_seconds
            .set(ahead.unwrap_or_default().as_secs_f64());
    }

    /// The age of the oldest ballot of all shards; zero if all are empty. While a shard is unreachable, its ballots may have waited
    /// since the last observation. `None` before every shard has been observed.
    pub fn max_wait(&self) -> Option<Duration> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let each: Option<Vec<_>> = shards.iter().map(ShardObservation::max_wait).collect();
        each?.into_iter().max()
    }
}

impl ShardObservation {
    fn followed_by(self, backlog: Backlog) -> Self {
        let now = Instant::now();
        let is_same = self.is_known && self.backlog.oldest == backlog.oldest;
        Self {
            backlog,
            observed_at: now,
            is_known: true,
            oldest_since: if is_same { self.oldest_since } else { now },
        }
    }

    /// The age of the oldest ballot: by the time in the id, or since the first observation, whichever is greater.
    fn oldest_age(&self) -> Option<Duration> {
        let oldest = self.backlog.oldest?;
        Some(age_of(oldest.ms).max(self.oldest_since.elapsed()))
    }

    fn max_wait(&self) -> Option<Duration> {
        let unobserved =
            Some(self.observed_at.elapsed()).filter(|elapsed| *elapsed > UNOBSERVED_AFTER);
        let wait = self.oldest_age().max(unobserved);
        wait.or(self.is_known.then_some(Duration::ZERO))
    }
}

/// The number of ballots that were removed without having been stored between two observations of a shard.
fn lost_between(before: &Backlog, now: &Backlog) -> u64 {
    let was_replaced = before.added > now.added && before.last > now.last;
    if was_replaced {
        // The stream was replaced by another one.
        before.pending + before.lag + now.removed
    } else {
        now.removed.saturating_sub(before.removed)
    }
}

fn sum(shards: &Shards) -> Backlog {
    let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
    let backlogs = shards.iter().map(|observation| observation.backlog);
    backlogs.fold(Backlog::default(), |sum, shard| Backlog {
        pending: sum.pending + shard.pending,
        lag: sum.lag + shard.lag,
        last: sum.last.max(shard.last),
        ..sum
    })
}

/// Returns the time elapsed since this millisecond of the Unix epoch.
pub fn age_of(ms: u64) -> Duration {
    let now_ms = Timestamp::now().as_millisecond();
    let age_ms = now_ms.saturating_sub_unsigned(ms).max(0);
    Duration::from_millis(age_ms.unsigned_abs())
}

/// Returns the time by which an id is ahead of this machine's clock.
pub fn ahead_of_clock(id: BallotId) -> Duration {
    let now_ms = Timestamp::now().as_millisecond().unsigned_abs();
    Duration::from_millis(id.ms.saturating_sub(now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(added: u64, lag: u64, removed: u64) -> Backlog {
        Backlog {
            lag,
            removed,
            added: Some(added),
            last: BallotId { ms: added, seq: 0 },
            ..Backlog::default()
        }
    }

    #[test]
    fn ballots_removed_before_delivery_are_counted_once() {
        assert_eq!(lost_between(&backlog(10, 4, 0), &backlog(10, 1, 3)), 3);
        assert_eq!(lost_between(&backlog(10, 1, 3), &backlog(10, 1, 3)), 0);
        assert_eq!(lost_between(&backlog(10, 1, 3), &backlog(12, 0, 0)), 0);
    }

    #[test]
    fn ballots_of_a_replaced_stream_are_lost() {
        assert_eq!(lost_between(&backlog(10, 4, 0), &backlog(0, 0, 0)), 4);
        assert_eq!(lost_between(&backlog(10, 4, 0), &backlog(2, 1, 0)), 4);
    }

    #[test]
    fn a_ballot_from_the_future_ages_from_its_first_observation() {
        let ms = Timestamp::now().as_millisecond().unsigned_abs() + 1_000_000;
        let first_observed = Instant::now().checked_sub(Duration::from_secs(30)).unwrap();
        let observation = ShardObservation {
            backlog: Backlog {
                oldest: Some(BallotId { ms, seq: 0 }),
                ..Backlog::default()
            },
            observed_at: Instant::now(),
            is_known: true,
            oldest_since: first_observed,
        };
        assert!(observation.oldest_age() >= Some(Duration::from_secs(30)));
        let again = observation.followed_by(observation.backlog);
        assert!(again.oldest_age() >= Some(Duration::from_secs(30)));
        let another = again.followed_by(Backlog {
            oldest: Some(BallotId { ms, seq: 1 }),
            ..Backlog::default()
        });
        assert!(another.oldest_age() < Some(Duration::from_secs(30)));
    }
}
