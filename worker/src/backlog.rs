//! What waits in the queue. It is measured beside the loop that moves ballots: it matters most while none can be moved.

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
    /// The time at which the oldest ballot was first seen to be the oldest. Its id has the time of the queue's clock, which may have been
    /// wrong when it was cast.
    oldest_since: Instant,
}

impl BacklogGauge {
    /// A gauge that has not looked yet.
    pub fn new(shards: usize, metrics: WorkerMetrics, service: &ServiceMetrics) -> Self {
        let now = Instant::now();
        let unknown = Seen {
            backlog: Backlog::default(),
            at: now,
            is_known: false,
            oldest_since: now,
        };
        let shards = Arc::new(Mutex::new(vec![unknown; shards]));
        {
            let (shards, age) = (
                shards.clone(),
                metrics.worker_oldest_unacked_age_seconds.clone(),
            );
            // A ballot ages, too, while the queue cannot be asked.
            service.on_scrape(move || {
                let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
                let waits = shards.iter().filter_map(Seen::oldest_age).max();
                age.set(waits.unwrap_or_default().as_secs_f64());
            });
        }
        Self { metrics, shards }
    }

    /// Looks into one of the shards every second, until the service closes. Whether it answers is for its probe to say.
    pub async fn watch(
        self,
        shard: usize,
        mut looker: Consumer,
        shutting_down: &CancellationToken,
    ) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutting_down
            .run_until_cancelled(ticks.tick())
            .await
            .is_some()
        {
            let Some(Ok(backlog)) = shutting_down.run_until_cancelled(looker.backlog()).await
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
        let lost = before.map_or(backlog.removed, |before| lost_since(&before, &backlog));
        if lost > 0 {
            self.metrics.worker_ballots_lost_total.inc_by(lost);
            tracing::error!(
                ballots = lost,
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

    /// The age of the oldest ballot of all shards; zero if there is none. While a shard cannot be seen, its
    /// ballots may have waited for as long. `None`: there has been no look at some shard yet.
    pub fn oldest_waits(&self) -> Option<Duration> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let each: Option<Vec<_>> = shards.iter().map(Seen::oldest_waits).collect();
        each?.into_iter().max()
    }
}

impl Seen {
    fn followed_by(self, backlog: Backlog) -> Self {
        let now = Instant::now();
        let is_same = self.is_known && self.backlog.oldest == backlog.oldest;
        Self {
            backlog,
            at: now,
            is_known: true,
            oldest_since: if is_same { self.oldest_since } else { now },
        }
    }

    /// The age of its oldest ballot, by its id or by how long it has been seen, whichever is more.
    fn oldest_age(&self) -> Option<Duration> {
        let oldest = self.backlog.oldest?;
        Some(age_of(oldest.ms).max(self.oldest_since.elapsed()))
    }

    fn oldest_waits(&self) -> Option<Duration> {
        let unseen = Some(self.at.elapsed()).filter(|unseen| *unseen > UNSEEN_AFTER);
        let waits = self.oldest_age().max(unseen);
        waits.or(self.is_known.then_some(Duration::ZERO))
    }
}

/// Ballots that are gone without having been stored, as two looks at a shard tell.
fn lost_since(before: &Backlog, now: &Backlog) -> u64 {
    let was_replaced = before.added > now.added && before.last > now.last;
    if was_replaced {
        // Another stream is in the place of the one that held them.
        before.pending + before.lag + now.removed
    } else {
        now.removed.saturating_sub(before.removed)
    }
}

fn sum(shards: &Shards) -> Backlog {
    let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
    let backlogs = shards.iter().map(|seen| seen.backlog);
    backlogs.fold(Backlog::default(), |sum, shard| Backlog {
        pending: sum.pending + shard.pending,
        lag: sum.lag + shard.lag,
        last: sum.last.max(shard.last),
        ..sum
    })
}

/// How long ago this millisecond since the Unix epoch was.
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
    fn what_is_removed_before_delivery_is_counted_once() {
        assert_eq!(lost_since(&backlog(10, 4, 0), &backlog(10, 1, 3)), 3);
        assert_eq!(lost_since(&backlog(10, 1, 3), &backlog(10, 1, 3)), 0);
        assert_eq!(lost_since(&backlog(10, 1, 3), &backlog(12, 0, 0)), 0);
    }

    #[test]
    fn what_a_replaced_stream_held_is_lost() {
        assert_eq!(lost_since(&backlog(10, 4, 0), &backlog(0, 0, 0)), 4);
        assert_eq!(lost_since(&backlog(10, 4, 0), &backlog(2, 1, 0)), 4);
    }

    #[test]
    fn a_ballot_of_the_future_ages_from_when_it_was_first_seen() {
        let ms = Timestamp::now().as_millisecond().unsigned_abs() + 1_000_000;
        let first_seen = Instant::now().checked_sub(Duration::from_secs(30)).unwrap();
        let seen = Seen {
            backlog: Backlog {
                oldest: Some(BallotId { ms, seq: 0 }),
                ..Backlog::default()
            },
            at: Instant::now(),
            is_known: true,
            oldest_since: first_seen,
        };
        assert!(seen.oldest_age() >= Some(Duration::from_secs(30)));
        let again = seen.followed_by(seen.backlog);
        assert!(again.oldest_age() >= Some(Duration::from_secs(30)));
        let another = again.followed_by(Backlog {
            oldest: Some(BallotId { ms, seq: 1 }),
            ..Backlog::default()
        });
        assert!(another.oldest_age() < Some(Duration::from_secs(30)));
    }
}
