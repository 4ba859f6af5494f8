//! Whether a vote costs the same, however many there are.

use super::{
    Scale,
    backlog::{self, Drained},
};
use crate::{
    report::{Aim, Report},
    servers::{Postgres, Redis},
    store::Votes,
};

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    tally_and_worker(
        scale,
        report,
        &redis,
        &Votes::prepare(postgres.database("growing")?)?,
    )?;
    bloat(
        scale,
        report,
        &redis,
        &Votes::prepare(postgres.database("repeating")?)?,
    )
}

/// The same number of votes over ever more rows.
fn tally_and_worker(
    scale: Scale,
    report: &mut Report,
    redis: &Redis,
    votes: &Votes,
) -> anyhow::Result<()> {
    let ballots = scale.of(200_000, 20_000);
    let sizes: &[u64] = if scale.quick {
        &[1_000, 10_000]
    } else {
        &[100_000, 1_000_000, 10_000_000]
    };
    let mut rows = 0;
    let (mut new, mut repeat) = (Vec::new(), Vec::new());
    for (step, size) in sizes.iter().enumerate() {
        votes.fill(rows, *size)?;
        votes.execute("VACUUM ANALYZE")?;
        votes.execute("CHECKPOINT")?;
        rows = *size;
        let time = votes.time_to_read_the_tally()?;
        let what = format!("time to read the tally, {rows} votes");
        report.value(what, "ms", &[time.as_secs_f64() * 1e3], Aim::None);
        let first = step as u64 * ballots;
        for (round, speeds) in [(1, &mut new), (2, &mut repeat)] {
            backlog::fill(redis, first..first + ballots, round)?;
            let Drained { per_second, .. } = backlog::drain(redis, votes, ballots, 1)?;
            report.value(
                format!(
                    "{} voters stored, {rows} rows before",
                    if round == 1 { "new" } else { "repeat" }
                ),
                "/s",
                &[per_second],
                Aim::None,
            );
            speeds.push(per_second);
        }
    }
    for (who, speeds) in [("new", new), ("repeat", repeat)] {
        if let [least, .., most] = speeds[..] {
            let what =
                format!("cost of a vote at the most rows, of that at the least, {who} voters");
            report.value(what, "×", &[least / most], Aim::AtMost(1.5));
        }
    }
    Ok(())
}

/// The same voters again and again.
fn bloat(scale: Scale, report: &mut Report, redis: &Redis, votes: &Votes) -> anyhow::Result<()> {
    let crowd = scale.of(500_000, 20_000);
    let (mut sizes, mut speeds) = (Vec::new(), Vec::new());
    for round in 0..scale.of(11, 4) {
        backlog::fill(redis, 0..crowd, round)?;
        let Drained { per_second, .. } = backlog::drain(redis, votes, crowd, 1)?;
        speeds.push(per_second);
        #[expect(clippy::cast_precision_loss, reason = "sizes are exact in a double")]
        sizes.push(votes.number("SELECT pg_total_relation_size('votes')")? as f64);
    }
    let size = |index: usize| sizes.get(index).copied().unwrap_or(f64::NAN);
    let last = sizes.len() - 1;
    report.value(
        "size of the votes, every voter once",
        "MB",
        &[super::megabytes(size(0))],
        Aim::None,
    );
    let repeats = u64::try_from(last)? * crowd;
    report.value(
        format!("size after {repeats} repeat votes, of that"),
        "×",
        &[size(last) / size(0)],
        Aim::None,
    );
    report.value(
        "the same, of the size in the middle of them",
        "×",
        &[size(last) / size(last / 2)],
        Aim::AtMost(1.5),
    );
    let updates = votes.number(
        "SELECT coalesce(100 * n_tup_hot_upd / nullif(n_tup_upd, 0), 0)::bigint FROM pg_stat_user_tables WHERE relname = 'votes'",
    )?;
    #[expect(clippy::cast_precision_loss, reason = "it is a percentage")]
    report.value(
        "updates that touched no index",
        "%",
        &[updates as f64],
        Aim::None,
    );
    if let [_, first, .., last] = speeds[..] {
        report.value(
            "cost of a repeat vote, the last time of the first",
            "×",
            &[first / last],
            Aim::AtMost(1.5),
        );
    }
    Ok(())
}
