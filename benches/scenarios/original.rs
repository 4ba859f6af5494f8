//! The original voting page compared with ours: the same votes, round by round. Runs only if the original was started.

use anyhow::Context;

use super::{NEW_AND_CHANGED_VOTES, Scale, requests};
use crate::{
    client::{RequestStats, run_task},
    report::{Report, Target},
    servers::Redis,
    service::Service,
};

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let original = scale
        .original
        .context("--original=ADDRESS:PORT is missing")?;
    let redis = Redis::start()?;
    let vote = Service::start("vote", &[("QUEUE_URL", &redis.url)])?;
    for connections in [64, 256] {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds() {
            for (address, rounds) in [(original, &mut theirs), (vote.address, &mut ours)] {
                rounds.push(run_task::<RequestStats>(&requests(
                    scale,
                    address,
                    NEW_AND_CHANGED_VOTES,
                    connections,
                ))?);
            }
        }
        let of = |rounds: &[RequestStats], figure: fn(&RequestStats) -> f64| {
            rounds.iter().map(figure).collect::<Vec<_>>()
        };
        let who = format!("{connections} connections; the original as the limit");
        let speed = |round: &RequestStats| round.per_second;
        report.compare(
            format!("votes, {who}"),
            "/s",
            &of(&ours, speed),
            &of(&theirs, speed),
            Target::None,
        );
        let p99 = |round: &RequestStats| round.p99;
        report.compare(
            format!("p99, {who}"),
            "ms",
            &of(&ours, p99),
            &of(&theirs, p99),
            Target::None,
        );
    }
    Ok(())
}
