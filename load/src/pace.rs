//! When the next vote is due.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// How much there is to do, and how fast.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Votes per second, whether answers come or not; `None`: as fast as they come.
    pub rate: Option<f64>,
    /// How long it goes on; `None`: until all votes are sent.
    pub duration: Option<Duration>,
    /// How many votes are sent; `None`: until the time is over.
    pub votes: Option<u64>,
}

/// Hands out the moments at which votes are due, to all connections together.
#[derive(Debug)]
pub struct Pace {
    plan: Plan,
    began: Instant,
    next: AtomicU64,
}

impl Pace {
    /// The pace of a plan that begins now.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            began: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    /// When it began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Whether the time is over, or nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let all_sent = |votes| self.next.load(Ordering::Relaxed) >= votes;
        let late = |duration| self.began.elapsed() >= duration;
        self.plan.votes.is_some_and(all_sent) || self.plan.duration.is_some_and(late)
    }

    /// When the next vote is due; `None`: there is none. With a rate this may be in the past: then all connections were
    /// busy, and the vote's voter has waited since.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.plan.votes.is_some_and(|votes| number >= votes) {
            return None;
        }
        let Some(rate) = self.plan.rate else {
            return Some(Instant::now());
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 votes are more than anybody sends"
        )]
        let after = Duration::try_from_secs_f64(number as f64 / rate).ok()?;
        let in_time = self.plan.duration.is_none_or(|duration| after < duration);
        in_time.then(|| self.began + after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_due_at_even_steps_until_the_time_is_over() {
        let pace = Pace::new(Plan {
            rate: Some(0.5),
            duration: Some(Duration::from_secs(5)),
            votes: None,
        });
        let due: Vec<_> = std::iter::from_fn(|| pace.next())
            .map(|due| (due - pace.began()).as_secs())
            .collect();
        assert_eq!(due, [0, 2, 4]);
    }

    #[test]
    fn so_many_votes_are_due_and_no_more() {
        let pace = Pace::new(Plan {
            votes: Some(3),
            ..Plan::default()
        });
        assert_eq!(std::iter::from_fn(|| pace.next()).count(), 3);
        assert!(pace.is_over());
    }
}
