//! Report of a run as text and as JSON.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    Load,
    check::{Bounds, Observation, Violation},
    observer::Verdict,
};

/// Summary of a run and its verification. The text form has no violations; the JSON form has all fields.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seed of the run.
    pub seed: u64,
    /// Length of the run in seconds.
    pub seconds: f64,
    /// Voters who took part.
    pub voters: usize,
    /// Number of all attempts.
    pub attempts: u64,
    /// Accepted attempts per second.
    pub accepted_per_second: f64,
    /// Counts and latencies by outcome.
    pub outcomes: BTreeMap<&'static str, OutcomeStats>,
    /// Voters with at least one accepted vote: the least number of counted voters.
    pub accepted_voters: u64,
    /// Voters with at least one accepted or ambiguous vote: the greatest number of counted voters.
    pub attempted_voters: u64,
    /// Counted voters, according to the result page.
    pub counted_voters: i64,
    /// Voters whose newest accepted vote is not counted, nor is a newer one.
    pub lost: u64,
    /// True if each vote in the store was checked, and not only the sums on the result page.
    pub store_checked: bool,
    /// True if the result was quiescent.
    pub quiescent: bool,
    /// Violations of the rules.
    pub violations: Vec<ViolationSummary>,
}

/// Count and latencies of one outcome.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OutcomeStats {
    /// Number of attempts.
    pub count: u64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
    /// Maximum latency in milliseconds.
    pub max_ms: f64,
}

/// Rule and description of a violation.
#[derive(Clone, Debug, Serialize)]
pub struct ViolationSummary {
    /// Name of the rule.
    pub rule: &'static str,
    /// Description in one line, with the voter and its attempts.
    pub text: String,
}

impl Report {
    /// Summarises a run.
    #[must_use]
    pub fn new(seed: u64, load: &Load, baseline: &Observation, verdict: &Verdict) -> Self {
        let bounds = Bounds::of(&load.history).total;
        let counted = verdict
            .observation
            .reported
            .total
            .cast_signed()
            .saturating_sub_unsigned(baseline.reported.total);
        // A lower bound of the lost votes, which needs no store.
        let missing = (bounds.low.cast_signed() - counted).max(0).unsigned_abs();
        let lost = verdict.violations.iter().filter(|violation| {
            matches!(
                violation,
                Violation::Lost { .. } | Violation::Outdated { .. }
            )
        });
        let outcomes = load.latencies.all().map(|(name, latencies)| {
            let stats = OutcomeStats {
                count: latencies.count(),
                p50_ms: latencies.quantile_ms(0.5),
                p99_ms: latencies.quantile_ms(0.99),
                max_ms: latencies.max_ms(),
            };
            (name, stats)
        });
        let summary = |violation: &Violation| ViolationSummary {
            rule: violation.rule(),
            text: violation.to_string(),
        };
        Self {
            seed,
            seconds: load.elapsed.as_secs_f64(),
            voters: load.history.voters.len(),
            attempts: load.latencies.attempts(),
            accepted_per_second: per_second(load.latencies.accepted.count(), load.elapsed),
            outcomes: outcomes.into(),
            accepted_voters: bounds.low,
            attempted_voters: bounds.high,
            counted_voters: counted,
            lost: missing.max(lost.count() as u64),
            store_checked: verdict.observation.store.is_some(),
            quiescent: verdict.quiescent,
            violations: verdict.violations.iter().map(summary).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 votes")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            attempts,
            voters,
            seconds,
            accepted_per_second,
            ..
        } = self;
        writeln!(
            f,
            "attempts {attempts} by {voters} voters in {seconds:.1} s, {accepted_per_second:.0} accepted per second"
        )?;
        for (name, stats) in &self.outcomes {
            write!(f, "{name:<9} {}", stats.count)?;
            if stats.count > 0 {
                let OutcomeStats {
                    p50_ms,
                    p99_ms,
                    max_ms,
                    ..
                } = stats;
                write!(
                    f,
                    ", p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, max {max_ms:.1} ms"
                )?;
            }
            writeln!(f)?;
        }
        let checked = if self.store_checked {
            "every vote in the store"
        } else {
            "the sums of the result page"
        };
        write!(
            f,
            "voters accepted {} ⊆ counted {} ⊆ attempted {}, lost {}; checked: {checked}",
            self.accepted_voters, self.counted_voters, self.attempted_voters, self.lost
        )
    }
}
