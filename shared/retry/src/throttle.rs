//! Throttling of log lines that clients can cause: at most one per second, with the number of events.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(1);

/// Counts events, and limits how often their number is logged.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    count: u64,
}

impl Throttle {
    /// Counts an event. Returns the number of events since the last time it returned a number, or `None` if that was less than a second
    /// ago.
    pub fn count_event(&self) -> Option<u64> {
        self.count_event_at(Instant::now())
    }

    fn count_event_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        let is_due = |last: Instant| now.saturating_duration_since(last) >= INTERVAL;
        if state.last.is_none_or(is_due) {
            state.last = Some(now);
            return Some(std::mem::take(&mut state.count));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_returned_at_most_once_per_second() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let at =
            |milliseconds| throttle.count_event_at(start + Duration::from_millis(milliseconds));
        assert_eq!(at(0), Some(1));
        assert_eq!([at(1), at(999)], [None, None]);
        assert_eq!(at(1000), Some(3));
        assert_eq!(at(5000), Some(1));
    }
}
