//! Exponential backoff with jitter.

use std::time::Duration;

/// Delays that double from `initial` to `max`. Each is randomly reduced by up to a half, so that clients of one server do not reconnect
/// at the same time.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Creates a backoff with delays from `initial` to `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max,
            next: initial,
        }
    }

    /// Returns the next delay.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Returns the next delay in whole milliseconds, for callers that also log it.
    pub fn next_delay_ms(&mut self) -> u64 {
        u64::try_from(self.next_delay().as_millis()).unwrap_or(u64::MAX)
    }

    /// Resets the delay after a success.
    pub fn reset(&mut self) {
        self.next = self.initial;
    }
}

impl Default for Backoff {
    /// Delays from 50 ms to 2 s: recovery is quick, and the load on a server that is starting is low.
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_are_reset_by_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<_> = (0..6).map(|_| backoff.next_delay().as_millis()).collect();
        for (delay, max) in delays.iter().zip([100, 200, 400, 800, 1000, 1000]) {
            assert!((max / 2..=max).contains(delay), "{delays:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
        assert!((100..=200).contains(&backoff.next_delay_ms()));
    }
}
