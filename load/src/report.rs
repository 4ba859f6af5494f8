//! What is told in the end, to people and to programs.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    Load,
    check::{Bounds, Seen, Violation},
    watch::Verdict,
};

/// A run and what came out. Its text is the summary without the violations; as JSON it is all.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What chose the voters' turns, choices and replicas.
    pub seed: u64,
    /// How long votes were sent, in seconds.
    pub seconds: f64,
    /// Voters who took part.
    pub voters: usize,
    /// All attempts to vote.
    pub attempts: u64,
    /// Accepted attempts per second.
    pub accepted_per_second: f64,
    /// Counts and latencies, by what became of the attempts.
    pub outcomes: BTreeMap<&'static str, Outcomes>,
    /// Voters with at least one accepted vote: so many are counted at least.
    pub accepted_voters: u64,
    /// Voters with at least one vote that may be in: so many are counted at most.
    pub attempted_voters: u64,
    /// Voters who are counted, by the result page.
    pub counted_voters: i64,
    /// Voters whose newest accepted vote is not counted, nor a newer one.
    pub lost: u64,
    /// Whether every single vote in the store was checked, and not only the sums of the result page.
    pub store_checked: bool,
    /// Whether the result had caught up, and moved no more.
    pub at_rest: bool,
    /// The rules that are broken.
    pub violations: Vec<BrokenRule>,
}

/// One outcome's count, and the latencies in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outcomes {
    /// How many attempts had it.
    pub count: u64,
    /// The median.
    pub p50_ms: f64,
    /// One in a hundred took longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// A violation.
#[derive(Clone, Debug, Serialize)]
pub struct BrokenRule {
    /// The rule's name.
    pub rule: &'static str,
    /// One line that says what is wrong, with voter and attempts.
    pub text: String,
}

impl Report {
    /// The report on this load.
    #[must_use]
    pub fn new(seed: u64, load: &Load, before: &Seen, verdict: &Verdict) -> Self {
        let bounds = Bounds::of(&load.history).total;
        let counted = verdict
            .seen
            .shown
            .total
            .cast_signed()
            .saturating_sub_unsigned(before.shown.total);
        // Also seen without the store, where enough of them are missing to be sure.
        let missing = (bounds.low.cast_signed() - counted).max(0).unsigned_abs();
        let lost = verdict.violations.iter().filter(|violation| {
            matches!(
                violation,
                Violation::Lost { .. } | Violation::Outdated { .. }
            )
        });
        let outcomes = load.latencies.all().map(|(name, latency)| {
            let outcomes = Outcomes {
                count: latency.count(),
                p50_ms: latency.quantile_ms(0.5),
                p99_ms: latency.quantile_ms(0.99),
                max_ms: latency.max_ms(),
            };
            (name, outcomes)
        });
        let broken = |violation: &Violation| BrokenRule {
            rule: violation.rule(),
            text: violation.to_string(),
        };
        Self {
            seed,
            seconds: load.took.as_secs_f64(),
            voters: load.history.voters.len(),
            attempts: load.latencies.attempts(),
            accepted_per_second: per_second(load.latencies.accepted.count(), load.took),
            outcomes: outcomes.into(),
            accepted_voters: bounds.low,
            attempted_voters: bounds.high,
            counted_voters: counted,
            lost: missing.max(lost.count() as u64),
            store_checked: verdict.seen.votes.is_some(),
            at_rest: verdict.at_rest,
            violations: verdict.violations.iter().map(broken).collect(),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 votes are more than anybody sends"
)]
fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE)
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
        for (name, outcomes) in &self.outcomes {
            write!(f, "{name:<9} {}", outcomes.count)?;
            if outcomes.count > 0 {
                let Outcomes {
                    p50_ms,
                    p99_ms,
                    max_ms,
                    ..
                } = outcomes;
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
