//! The same voters again and again: whether the tables stay as large as what is in them.

use super::{
    Scale,
    backlog::{self, Drained},
    megabytes,
};
use crate::{
    report::{Aim, Report},
    servers::{Postgres, Redis},
    store::Votes,
};

/// What could grow, and how large it is: what has a row for each voter, and what has few however many vote.
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
    /// They are judged by their size written anew.
    Many,
    /// A ratio of a few pages says nothing: they are judged by their size.
    Few,
}

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let crowd = scale.of(500_000, 20_000);
    let votes = Votes::prepare(postgres.database("any_order")?)?;
    let any_order = |round| backlog::shuffled(crowd, round);
    let aim = Aim::AtMost(1.5);
    let (speeds, bloat) = repeat(&redis, &votes, scale.of(10, 3), any_order)?;
    bloat.tell(report, "in any order", aim);
    for table in ["votes", "tally", "timeline"] {
        let of_table = |what| {
            let figure =
                format!("(SELECT {what} FROM pg_stat_user_tables WHERE relname = '{table}')");
            number(&votes, &figure)
        };
        let hot = of_table("coalesce(100 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)")?;
        let what = format!("updates of {table} that touched no index");
        report.value(what, "%", &[hot], Aim::None);
        let what = format!("times that {table} was vacuumed by itself");
        report.value(what, "", &[of_table("autovacuum_count")?], Aim::None);
    }
    if let [_, first, .., last] = speeds[..] {
        report.value(
            "cost of a repeat vote, the last time of the first",
            "×",
            &[first / last],
            aim,
        );
    }
    // The worst that voters can do: each batch changes all votes of a page, which has room for a tenth of them. It takes
    // less than the minute after which autovacuum looks again.
    let votes = Votes::prepare(postgres.database("same_order")?)?;
    let same_order = |_| (0..crowd).collect();
    let (_, bloat) = repeat(&redis, &votes, scale.of(4, 2), same_order)?;
    bloat.tell(report, "in the order of before", Aim::None);
    Ok(())
}

/// All vote once, and so many times again. Returns the speeds, in votes per second, and what became of the tables.
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
        anew: sizes()?,
    };
    Ok((speeds, bloat))
}

/// The sizes in bytes: as they grew, and of the same rows written anew.
struct Bloat {
    repeats: u64,
    grown: Vec<f64>,
    anew: Vec<f64>,
}

impl Bloat {
    fn tell(self, report: &mut Report, order: &str, aim: Aim) {
        for ((&(name, _, rows), grown), anew) in SIZES.iter().zip(self.grown).zip(self.anew) {
            let (of_size, of_ratio) = match (aim, rows) {
                (Aim::None, _) => (Aim::None, Aim::None),
                (aim, Rows::Many) => (Aim::None, aim),
                (_, Rows::Few) => (Aim::AtMost(1.0), Aim::None),
            };
            let after = format!("after {} repeat votes {order}", self.repeats);
            let size = format!("size of {name} {after}");
            report.value(size, "MB", &[megabytes(grown)], of_size);
            let bloat = format!("of that of the same rows written anew, {name} {after}");
            report.value(bloat, "×", &[grown / anew], of_ratio);
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
