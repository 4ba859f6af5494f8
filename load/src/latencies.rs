//! How long voters waited, by what became of their votes.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::history::Outcome;

/// Three digits of every latency are kept.
const DIGITS: u8 = 3;
/// What takes longer than an hour counts as an hour; in microseconds.
const LONGEST: u64 = 3_600_000_000;

/// Counts and latencies of all attempts.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Of accepted votes, also of those taken for another voter's.
    pub accepted: Latency,
    /// Of refused ones.
    pub refused: Latency,
    /// Of ambiguous ones.
    pub ambiguous: Latency,
    /// Of those that could not be sent.
    pub not_sent: Latency,
}

/// Counts and latencies of one outcome, in microseconds.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let none = || {
            let histogram = Histogram::new_with_max(LONGEST, DIGITS);
            Latency(histogram.expect("so many digits are allowed"))
        };
        Self {
            accepted: none(),
            refused: none(),
            ambiguous: none(),
            not_sent: none(),
        }
    }
}

impl Latencies {
    /// Adds an attempt.
    pub fn add(&mut self, outcome: Outcome, took: Duration) {
        let latency = match outcome {
            Outcome::Accepted(_) | Outcome::Estranged(_) => &mut self.accepted,
            Outcome::Refused(_) => &mut self.refused,
            Outcome::Ambiguous(_) => &mut self.ambiguous,
            Outcome::NotSent => &mut self.not_sent,
        };
        latency
            .0
            .saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Each with its name.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &Latency); 4] {
        [
            ("accepted", &self.accepted),
            ("refused", &self.refused),
            ("ambiguous", &self.ambiguous),
            ("not sent", &self.not_sent),
        ]
    }

    /// All attempts.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.all().iter().map(|(_, latency)| latency.count()).sum()
    }
}

impl Latency {
    /// How many attempts there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency below which this part of them was, such as 0.99; in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, part: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(part))
    }

    /// The longest, in milliseconds.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        milliseconds(self.0.max())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 microseconds are 285 years"
)]
fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_kept_by_outcome_up_to_an_hour() {
        let mut latencies = Latencies::default();
        for took in 1..=100 {
            latencies.add(Outcome::Refused(409), Duration::from_millis(took));
        }
        latencies.add(Outcome::NotSent, Duration::from_hours(30));
        let near = |measured: f64, expected: f64| (measured / expected - 1.0).abs() < 0.001;
        let refused = &latencies.refused;
        assert!(near(refused.quantile_ms(0.5), 50.0), "{refused:?}");
        assert!(near(refused.quantile_ms(0.99), 99.0), "{refused:?}");
        assert!(near(refused.max_ms(), 100.0), "{refused:?}");
        assert!(near(latencies.not_sent.max_ms(), 3_600_000.0));
        assert_eq!((latencies.accepted.count(), latencies.attempts()), (0, 101));
    }
}
