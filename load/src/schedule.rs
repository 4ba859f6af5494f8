//! Due times of the votes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// Amount and rate of the votes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Votes per second, independent of the responses (open loop); `None`: each after the last response (closed loop).
    pub rate: Option<f64>,
    /// Length of the run; `None`: until all votes are sent.
    pub duration: Option<Duration>,
    /// Number of votes; `None`: no limit.
    pub votes: Option<u64>,
}

/// Assigns due times to votes, for all virtual users together.
#[derive(Debug)]
pub struct Schedule {
    plan: Plan,
    started_at: Instant,
    next: AtomicU64,
}

impl Schedule {
    /// Starts the schedule of a plan now.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            started_at: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// Returns the start of the run.
    #[must_use]
    pub fn started_at(&self) -> Instant {
        self.started_at
    }

    /// Returns true if the duration has elapsed or all votes are assigned.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let all_assigned = |votes| self.next.load(Ordering::Relaxed) >= votes;
        let has_elapsed = |duration| self.started_at.elapsed() >= duration;
        self.plan.votes.is_some_and(all_assigned) || self.plan.duration.is_some_and(has_elapsed)
    }

    /// Returns the due time of the next vote, or `None` after the last one. With a rate, the due time is in the past if all
    /// connections were busy; the latency then includes that delay.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        if self.is_finished() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.plan.votes.is_some_and(|votes| number >= votes) {
            return None;
        }
        let Some(rate) = self.plan.rate else {
            return Some(Instant::now());
        };
        #[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 votes")]
        let offset = Duration::try_from_secs_f64(number as f64 / rate).ok()?;
        let is_within = self.plan.duration.is_none_or(|duration| offset < duration);
        is_within.then(|| self.started_at + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_gives_evenly_spaced_due_times_within_the_duration() {
        let schedule = Schedule::new(Plan {
            rate: Some(0.5),
            duration: Some(Duration::from_secs(5)),
            votes: None,
        });
        let due: Vec<_> = std::iter::from_fn(|| schedule.next_due())
            .map(|due| (due - schedule.started_at()).as_secs())
            .collect();
        assert_eq!(due, [0, 2, 4]);
    }

    #[test]
    fn the_number_of_votes_is_a_limit() {
        let schedule = Schedule::new(Plan {
            votes: Some(3),
            ..Plan::default()
        });
        assert_eq!(std::iter::from_fn(|| schedule.next_due()).count(), 3);
        assert!(schedule.is_finished());
    }
}
