//! Adaptive limit on the votes that are being enqueued at once.
//!
//! A backlog builds up if votes arrive faster than the queue stores them. Once it is longer than a vote may take, every vote
//! costs its full work and all of them time out. So the limit rejects a vote at once when too many are in flight. The right
//! limit is not known in advance: it is derived from measured latencies by additive increase and multiplicative decrease, as
//! TCP does for its congestion window (RFC 5681).
//!
//! If this process is the bottleneck and not the queue, rejecting a vote costs nearly as much as storing it. The limit must not
//! drop then, so latencies are measured on a thread of its own (`runtime.rs`). The number of votes in flight is then bounded by
//! `MAX_CONNECTIONS`.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Limit before the first measurement: high enough for the burst at the opening of a poll.
const INITIAL_LIMIT: f64 = 1000.0;
/// Lower bound. Even with a slow queue some votes must pass, because the limit adapts to their latency.
const MIN_LIMIT: f64 = 32.0;
/// Upper bound: the default of `MAX_CONNECTIONS`.
const MAX_LIMIT: f64 = 10_000.0;
/// Bounds of the factor by which the limit decreases. The factor is the target divided by the measured latency.
const BACKOFF_FACTOR_RANGE: (f64, f64) = (0.5, 0.9);

/// Adaptive concurrency limit. Cloning is cheap; clones share the limit.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    in_flight: Arc<AtomicUsize>,
    state: Arc<Mutex<LimitState>>,
    latency_target: Duration,
}

#[derive(Debug)]
struct LimitState {
    limit: f64,
    last_decrease: Option<Instant>,
}

impl ConcurrencyLimit {
    /// Creates a limit that decreases when an enqueue takes longer than this target.
    pub fn new(latency_target: Duration) -> Self {
        Self {
            in_flight: Arc::default(),
            state: Arc::new(Mutex::new(LimitState {
                limit: INITIAL_LIMIT,
                last_decrease: None,
            })),
            latency_target,
        }
    }

    /// Acquires a permit for one vote; `None` if the limit is reached.
    pub fn try_acquire(&self) -> Option<Permit> {
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let permit = Permit(self.clone());
        (in_flight <= self.limit()).then_some(permit)
    }

    /// Returns the current limit, in votes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between two positive numbers"
    )]
    pub fn limit(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.limit as usize
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the number of votes in flight is far below 2^53"
    )]
    fn on_sample(&self, latency: Duration) {
        let in_flight = self.in_flight.load(Ordering::Relaxed) as f64;
        let is_late = latency > self.latency_target;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if is_late {
            let now = Instant::now();
            // Votes that were in flight together are late together: they decrease the limit once.
            let is_recent = |decrease| now.duration_since(decrease) < self.latency_target;
            if !state.last_decrease.is_some_and(is_recent) {
                let (min, max) = BACKOFF_FACTOR_RANGE;
                let factor = self.latency_target.div_duration_f64(latency);
                let limit = state.limit.min(in_flight) * factor.clamp(min, max);
                state.limit = limit.max(MIN_LIMIT);
                state.last_decrease = Some(now);
            }
        } else if in_flight >= state.limit / 2.0 {
            // A low limit increases faster, so that it recovers soon after an outage.
            state.limit = (state.limit + state.limit.sqrt().recip()).min(MAX_LIMIT);
        }
    }
}

/// Permit for one vote in flight, released on drop.
#[derive(Debug)]
pub struct Permit(ConcurrencyLimit);

impl Permit {
    /// Adapts the limit to the latency of this vote's enqueue, which succeeded or timed out.
    pub fn record_latency(self, latency: Duration) {
        self.0.on_sample(latency);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_millis(201);

    fn acquire(limit: &ConcurrencyLimit, count: usize) -> Vec<Permit> {
        (0..count).map_while(|_| limit.try_acquire()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn votes_over_the_limit_are_rejected_until_a_permit_is_released() {
        let limit = ConcurrencyLimit::new(TARGET);
        let mut permits = acquire(&limit, 5000);
        assert_eq!(permits.len(), 1000);
        assert!(limit.try_acquire().is_none());
        permits.pop();
        assert!(limit.try_acquire().is_some());
        assert!(
            limit.try_acquire().is_some(),
            "a rejected vote holds no permit"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn late_votes_decrease_the_limit_once_per_batch_in_flight() {
        let limit = ConcurrencyLimit::new(TARGET);
        for permit in acquire(&limit, 1000) {
            permit.record_latency(LATE);
        }
        assert_eq!(limit.limit(), 900);
        for _ in 0..100 {
            tokio::time::advance(TARGET).await;
            let mut permits = acquire(&limit, 1000);
            permits.pop().unwrap().record_latency(2 * TARGET);
        }
        assert_eq!(acquire(&limit, 1000).len(), 32, "the lower bound");
    }

    #[tokio::test(start_paused = true)]
    async fn votes_within_the_target_increase_the_limit_if_it_is_used() {
        let limit = ConcurrencyLimit::new(TARGET);
        for _ in 0..100_000 {
            limit.try_acquire().unwrap().record_latency(TARGET);
        }
        assert_eq!(limit.limit(), 1000, "less than half of it was used");
        for _ in 0..10 {
            for permit in acquire(&limit, 2000) {
                permit.record_latency(TARGET);
            }
        }
        assert!(limit.limit() > 1100, "{}", limit.limit());
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_recovers_soon_after_an_outage() {
        let limit = ConcurrencyLimit::new(TARGET);
        limit.try_acquire().unwrap().record_latency(LATE);
        assert_eq!(limit.limit(), 32);
        // The throughput of half a second if the queue replies within 5 ms.
        for _ in 0..100 {
            for permit in acquire(&limit, 1000) {
                permit.record_latency(Duration::from_millis(5));
            }
        }
        assert!(limit.limit() > 500, "{}", limit.limit());
    }
}
