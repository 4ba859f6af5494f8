//! The original voting page beside ours: the same votes, round by round. Only where somebody has started it.

use anyhow::Context;

use super::Scale;
use crate::{
    drive::{Answered, Kind, Requests, Task, drive},
    report::{Aim, Report},
    servers::Redis,
    service::Service,
};

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let original = scale
        .original
        .context("--original does not say where it is")?;
    let redis = Redis::start()?;
    let vote = Service::start("vote", &[("QUEUE_URL", &redis.url)])?;
    for connections in [64, 256] {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds() {
            for (address, rounds) in [(original, &mut theirs), (vote.address, &mut ours)] {
                rounds.push(drive::<Answered>(&Task::Requests(Requests {
                    address,
                    kind: Kind::Vote {
                        gzip: false,
                        again: true,
                    },
                    connections,
                    warm_up: scale.warm_up(),
                    duration: scale.duration(),
                }))?);
            }
        }
        let of = |rounds: &[Answered], figure: fn(&Answered) -> f64| {
            rounds.iter().map(figure).collect::<Vec<_>>()
        };
        let who = format!("{connections} connections; the original as the limit");
        let speed = |round: &Answered| round.per_second;
        report.beside(
            format!("votes, {who}"),
            "/s",
            &of(&ours, speed),
            &of(&theirs, speed),
            Aim::None,
        );
        let p99 = |round: &Answered| round.p99;
        report.beside(
            format!("p99, {who}"),
            "ms",
            &of(&ours, p99),
            &of(&theirs, p99),
            Aim::None,
        );
    }
    Ok(())
}
