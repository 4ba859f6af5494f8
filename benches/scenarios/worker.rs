//! A backlog in Redis, drained into Postgres. The limit: the same SQL on one connection, with nothing before it.

use anyhow::ensure;

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
                    memory: most,
                } = backlog::drain(&redis, votes, ballots, workers)?;
                speeds.push(per_second);
                memory = memory.max(most);
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
        report.beside(one, "/s", &rounds.one, &rounds.limits, Aim::OfLimit(0.6));
        let two = format!("votes stored, {who}, two workers");
        report.beside(two, "/s", &rounds.two, &rounds.limits, Aim::None);
    }
    report.value(
        "most memory of a worker",
        "MB",
        &[megabytes(memory)],
        Aim::AtMost(100.0),
    );
    Ok(())
}
