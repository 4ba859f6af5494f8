//! Repeated votes of the same voters, and how much the tables grow beyond their contents.

use super::{
    Scale,
    backlog::{self, Drained},
    megabytes,
};
use crate::{
    report::{Report, Target},
    servers::{Postgres, Redis},
    store::Votes,
};

/// The tables and indexes that could grow, with their sizes in SQL: with a row per voter, or with a few rows only.
const SIZES: [(&str, &str, Rows); 3] = [
    ("votes", "pg_relation_size('votes')", Rows::Many),
    ("their index", "pg_indexes_size('votes')", Rows::Many),
    (
        "the counts",
        "pg_total_relation_size('tally') + pg_total_relation_size('timeline')",
        Rows::Few,
    ),
];

#[derive(Clone, Copy)]
enum Rows {
    /// The size is compared with that of the rewritten table.
    Many,
    /// The size itself has a target: the ratio of a few pages says nothing.
    Few,
}

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let voter_count = scale.of(500_000, 20_000);
    let votes = Votes::prepare(postgres.database("any_order")?)?;
    let any_order = |round| backlog::shuffled(voter_count, round);
    let target = Target::AtMost(1.5);
    let (speeds, bloat) = repeat(&redis, &votes, scale.of(10, 3), any_order)?;
    bloat.report_to(report, "in any order", target);
    for table in ["votes", "tally", "timeline"] {
        let of_table = |what| {
            let figure =
                format!("(SELECT {what} FROM pg_stat_user_tables WHERE relname = '{table}')");
            number(&votes, &figure)
        };
        let hot = of_table("coalesce(100 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)")?;
        let what = format!("HOT updates of {table}");
        report.value(what, "%", &[hot], Target::None);
        let what = format!("autovacuum runs of {table}");
        report.value(what, "", &[of_table("autovacuum_count")?], Target::None);
    }
    if let [_, first, .., last] = speeds[..] {
        report.value(
            "cost of a repeat vote, last round relative to the first",
            "×",
            &[first / last],
            target,
        );
    }
    // The worst case: each batch changes all votes of a page, which has space for a tenth of them. It takes less than the
    // minute between two autovacuum runs.
    let votes = Votes::prepare(postgres.database("same_order")?)?;
    let same_order = |_| (0..voter_count).collect();
    let (_, bloat) = repeat(&redis, &votes, scale.of(4, 2), same_order)?;
    bloat.report_to(report, "in the same order", Target::None);
    Ok(())
}

/// Lets all voters vote once and `again` more times. Returns the speeds, in votes per second, and the table sizes.
fn repeat(
    redis: &Redis,
    votes: &Votes,
    again: u64,
    order: impl Fn(u64) -> Vec<u64>,
) -> anyhow::Result<(Vec<f64>, Bloat)> {
    let mut speeds = Vec::new();
    let mut ballots = 0;
    for round in 0..=again {
        let numbers = order(round);
        ballots = numbers.len() as u64;
        backlog::fill(redis, numbers, round.cast_signed())?;
        let Drained { per_second, .. } = backlog::drain(redis, votes, ballots, 1)?;
        speeds.push(per_second);
    }
    let sizes = || {
        SIZES
            .iter()
            .map(|(_, size, _)| number(votes, size))
            .collect()
    };
    let grown: anyhow::Result<_> = sizes();
    votes.execute("VACUUM FULL")?;
    let bloat = Bloat {
        repeats: again * ballots,
        grown: grown?,
        rewritten: sizes()?,
    };
    Ok((speeds, bloat))
}

/// The sizes in bytes: after the votes, and after a rewrite of the same rows.
struct Bloat {
    repeats: u64,
    grown: Vec<f64>,
    rewritten: Vec<f64>,
}

impl Bloat {
    fn report_to(self, report: &mut Report, order: &str, target: Target) {
        for ((&(name, _, rows), grown), rewritten) in
            SIZES.iter().zip(self.grown).zip(self.rewritten)
        {
            let (of_size, of_ratio) = match (target, rows) {
                (Target::None, _) => (Target::None, Target::None),
                (target, Rows::Many) => (Target::None, target),
                (_, Rows::Few) => (Target::AtMost(1.0), Target::None),
            };
            let after = format!("after {} repeat votes {order}", self.repeats);
            let size = format!("size of {name} {after}");
            report.value(size, "MB", &[megabytes(grown)], of_size);
            let bloat = format!("size relative to the rewritten table, {name} {after}");
            report.value(bloat, "×", &[grown / rewritten], of_ratio);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sizes and counts are exact in a double"
)]
fn number(votes: &Votes, figure: &str) -> anyhow::Result<f64> {
    Ok(votes.number(&format!("SELECT ({figure})::bigint"))? as f64)
}
