//! A backlog in Redis, drained into Postgres. The limit runs the same SQL on one connection, without a queue.

use anyhow::ensure;

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

#[derive(Default)]
struct Rounds {
    limits: Vec<f64>,
    one: Vec<f64>,
    two: Vec<f64>,
}

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let ballots = scale.of(1_000_000, 50_000);
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let [limit, one, two] = ["direct", "one_worker", "two_workers"]
        .map(|name| postgres.database(name).and_then(Votes::prepare));
    let (limit, one, two) = (limit?, one?, two?);
    let (mut new, mut repeat, mut memory) = (Rounds::default(), Rounds::default(), 0.0_f64);
    for _ in 0..scale.of(3, 1) {
        for votes in [&limit, &one, &two] {
            votes.clear()?;
        }
        for (round, rounds) in [(1, &mut new), (2, &mut repeat)] {
            rounds.limits.push(limit.store_directly(ballots, round)?);
            for (votes, workers, speeds) in [(&one, 1, &mut rounds.one), (&two, 2, &mut rounds.two)]
            {
                backlog::fill(&redis, 0..ballots, round)?;
                let Drained {
                    per_second,
                    memory: peak,
                } = backlog::drain(&redis, votes, ballots, workers)?;
                speeds.push(per_second);
                memory = memory.max(peak);
                let stored =
                    votes.number("SELECT count(*) FROM votes WHERE cast_ms > 1000000000000")?;
                ensure!(
                    stored.unsigned_abs() == ballots,
                    "{ballots} voted, {stored} are stored"
                );
            }
        }
    }
    for (who, rounds) in [("new voters", new), ("repeat voters", repeat)] {
        let one = format!("votes stored, {who}, one worker");
        report.compare(one, "/s", &rounds.one, &rounds.limits, Target::OfLimit(0.6));
        let two = format!("votes stored, {who}, two workers");
        report.compare(two, "/s", &rounds.two, &rounds.limits, Target::None);
    }
    report.value(
        "peak memory of a worker",
        "MB",
        &[megabytes(memory)],
        Target::AtMost(100.0),
    );
    Ok(())
}
