//! Latency histograms by outcome.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::history::Outcome;

/// Precision of the histograms.
const SIGNIFICANT_DIGITS: u8 = 3;
/// Largest recorded latency in microseconds: one hour. Longer ones are recorded as this.
const MAX_LATENCY: u64 = 3_600_000_000;

/// Counts and latencies of all attempts.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Accepted votes, including those accepted for another voter.
    pub accepted: LatencyHistogram,
    /// Rejected votes.
    pub rejected: LatencyHistogram,
    /// Ambiguous votes.
    pub ambiguous: LatencyHistogram,
    /// Votes that could not be sent.
    pub not_sent: LatencyHistogram,
}

/// Histogram of one outcome, in microseconds.
#[derive(Clone, Debug)]
pub struct LatencyHistogram(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let empty = || {
            let histogram = Histogram::new_with_max(MAX_LATENCY, SIGNIFICANT_DIGITS);
            LatencyHistogram(histogram.expect("up to 5 digits are allowed"))
        };
        Self {
            accepted: empty(),
            rejected: empty(),
            ambiguous: empty(),
            not_sent: empty(),
        }
    }
}

impl Latencies {
    /// Records an attempt.
    pub fn record(&mut self, outcome: Outcome, latency: Duration) {
        let histogram = match outcome {
            Outcome::Accepted(_) | Outcome::VoterMismatch(_) => &mut self.accepted,
            Outcome::Rejected(_) => &mut self.rejected,
            Outcome::Ambiguous(_) => &mut self.ambiguous,
            Outcome::NotSent => &mut self.not_sent,
        };
        histogram
            .0
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns each histogram with the name of its outcome.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &LatencyHistogram); 4] {
        [
            ("accepted", &self.accepted),
            ("rejected", &self.rejected),
            ("ambiguous", &self.ambiguous),
            ("not sent", &self.not_sent),
        ]
    }

    /// Returns the number of all attempts.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.all()
            .iter()
            .map(|(_, histogram)| histogram.count())
            .sum()
    }
}

impl LatencyHistogram {
    /// Returns the number of attempts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Returns a quantile, such as 0.99, in milliseconds.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        to_milliseconds(self.0.value_at_quantile(quantile))
    }

    /// Returns the maximum in milliseconds.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        to_milliseconds(self.0.max())
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 microseconds are 285 years"
)]
fn to_milliseconds(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_recorded_by_outcome_up_to_an_hour() {
        let mut latencies = Latencies::default();
        for ms in 1..=100 {
            latencies.record(Outcome::Rejected(409), Duration::from_millis(ms));
        }
        latencies.record(Outcome::NotSent, Duration::from_hours(30));
        let near = |measured: f64, expected: f64| (measured / expected - 1.0).abs() < 0.001;
        let rejected = &latencies.rejected;
        assert!(near(rejected.quantile_ms(0.5), 50.0), "{rejected:?}");
        assert!(near(rejected.quantile_ms(0.99), 99.0), "{rejected:?}");
        assert!(near(rejected.max_ms(), 100.0), "{rejected:?}");
        assert!(near(latencies.not_sent.max_ms(), 3_600_000.0));
        assert_eq!((latencies.accepted.count(), latencies.attempts()), (0, 101));
    }
}
