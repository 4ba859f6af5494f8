//! How many votes may be on their way into the queue at once: as many as it keeps in time.
//!
//! When more votes come than the queue keeps up with, a line forms, and once its end waits for longer than a vote may take,
//! every vote costs its full work and nobody is served. So the line is kept short: those who would make it too long are
//! told at once to come back. How long it may be nobody can know beforehand; it is learnt from how long votes take, by
//! additive increase and multiplicative decrease, as TCP learns what a network carries (RFC 5681).
//!
//! Where it is this process that has too much to do, sending votes away would cost nearly as much as keeping them and serve
//! nobody. It is not held against the queue, because a thread of its own sees when the queue answers (`queue_thread.rs`). How long
//! a line can be then is bounded by `MAX_CONNECTIONS`.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// How many may be on their way at first: a crowd at the opening of a poll is let in before anything was learnt.
const AT_FIRST: f64 = 1000.0;
/// However slow the queue is, so many may try: what is learnt is learnt from them.
const AT_LEAST: f64 = 32.0;
/// As many as there can be connections, unless that is changed.
const AT_MOST: f64 = 10_000.0;
/// What is left of the line after a vote that was late: in proportion to how late it was, within these bounds.
const DECREASE: (f64, f64) = (0.5, 0.9);

/// Lets votes in. Cloning is cheap; clones share the line.
#[derive(Clone, Debug)]
pub struct Admission {
    under_way: Arc<AtomicUsize>,
    limit: Arc<Mutex<Limit>>,
    /// A vote that took longer was late.
    in_time: Duration,
}

#[derive(Debug)]
struct Limit {
    votes: f64,
    lowered: Option<Instant>,
}

impl Admission {
    /// Keeps the line so short that votes take no longer than this, by and large.
    pub fn new(in_time: Duration) -> Self {
        Self {
            under_way: Arc::default(),
            limit: Arc::new(Mutex::new(Limit {
                votes: AT_FIRST,
                lowered: None,
            })),
            in_time,
        }
    }

    /// Lets a vote in; `None`: too many are under way already.
    pub fn admit(&self) -> Option<Admitted> {
        let with_it = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let admitted = Admitted(self.clone());
        (with_it <= self.limit()).then_some(admitted)
    }

    /// How many votes may be under way.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between two positive numbers"
    )]
    pub fn limit(&self) -> usize {
        let limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        limit.votes as usize
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "so many do not fit into a machine"
    )]
    fn learn(&self, took: Duration) {
        let under_way = self.under_way.load(Ordering::Relaxed) as f64;
        let is_late = took > self.in_time;
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if is_late {
            let now = Instant::now();
            // Those who were under way together were late together; that is one lesson.
            let is_learnt = |lowered| now.duration_since(lowered) < self.in_time;
            if !limit.lowered.is_some_and(is_learnt) {
                let (least, most) = DECREASE;
                let fits = self.in_time.div_duration_f64(took).clamp(least, most);
                limit.votes = (limit.votes.min(under_way) * fits).max(AT_LEAST);
                limit.lowered = Some(now);
            }
        } else if under_way >= limit.votes / 2.0 {
            // Faster when little is allowed, so that an outage is forgotten within moments.
            limit.votes = (limit.votes + limit.votes.sqrt().recip()).min(AT_MOST);
        }
    }
}

/// A vote that was let in, until this is dropped.
#[derive(Debug)]
pub struct Admitted(Admission);

impl Admitted {
    /// The queue has kept the vote, or let it wait in vain, after this time.
    pub fn took(self, time: Duration) {
        self.0.learn(time);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_TIME: Duration = Duration::from_millis(200);
    const LATE: Duration = Duration::from_millis(201);

    fn crowd(admission: &Admission, size: usize) -> Vec<Admitted> {
        (0..size).map_while(|_| admission.admit()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_many_is_not_let_in_until_somebody_is_through() {
        let admission = Admission::new(IN_TIME);
        let mut inside = crowd(&admission, 5000);
        assert_eq!(inside.len(), 1000);
        assert!(admission.admit().is_none());
        inside.pop();
        assert!(admission.admit().is_some());
        assert!(
            admission.admit().is_some(),
            "who was sent away holds no place"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn late_votes_shorten_the_line_once_for_all_that_were_late_together() {
        let admission = Admission::new(IN_TIME);
        for vote in crowd(&admission, 1000) {
            vote.took(LATE);
        }
        assert_eq!(admission.limit(), 900);
        for _ in 0..100 {
            tokio::time::advance(IN_TIME).await;
            let mut together = crowd(&admission, 1000);
            together.pop().unwrap().took(2 * IN_TIME);
        }
        assert_eq!(crowd(&admission, 1000).len(), 32, "some must still try");
    }

    #[tokio::test(start_paused = true)]
    async fn votes_in_time_lengthen_the_line_where_it_is_needed() {
        let admission = Admission::new(IN_TIME);
        for _ in 0..100_000 {
            admission.admit().unwrap().took(IN_TIME);
        }
        assert_eq!(admission.limit(), 1000, "nobody stood in line");
        for _ in 0..10 {
            for vote in crowd(&admission, 2000) {
                vote.took(IN_TIME);
            }
        }
        assert!(admission.limit() > 1100, "{}", admission.limit());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_forgotten_within_moments() {
        let admission = Admission::new(IN_TIME);
        admission.admit().unwrap().took(LATE);
        assert_eq!(admission.limit(), 32);
        // What a queue that answers within 5 ms keeps in half a second.
        for _ in 0..100 {
            for vote in crowd(&admission, 1000) {
                vote.took(Duration::from_millis(5));
            }
        }
        assert!(admission.limit() > 500, "{}", admission.limit());
    }
}
