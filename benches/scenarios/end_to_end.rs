//! All three services together: the sustained throughput, and the time until a vote is visible at half of it.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{NEW_VOTES, Scale};
use crate::{
    client::{DeliveryStats, RequestStats, Requests, Steady, Task, run_task},
    report::{Report, Target},
    servers::{Postgres, Redis},
    service::Service,
    store::Votes,
};

const TIMEOUT: Duration = Duration::from_mins(2);
const CONNECTIONS: usize = 64;

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let votes = Votes::prepare(postgres.database("poll")?)?;
    let environment = [
        ("QUEUE_URL", redis.url.as_str()),
        ("DATABASE_URL", &votes.url),
    ];
    let [vote, _worker, result] =
        ["vote", "worker", "result"].map(|name| Service::start(name, &environment));
    let (vote, result) = (vote?, result?);
    let mut sustained = Vec::new();
    for _ in 0..scale.rounds() {
        let before = counted(&votes)?;
        let began = Instant::now();
        let stats: RequestStats = run_task(&Task::Requests(Requests {
            address: vote.address,
            kind: NEW_VOTES,
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            duration: scale.duration(),
        }))?;
        ensure!(stats.failed == 0, "{} votes were rejected", stats.failed);
        let all = before + stats.succeeded;
        while counted(&votes)? < all {
            ensure!(began.elapsed() < TIMEOUT, "accepted votes are not counted");
            sleep(Duration::from_millis(5));
        }
        ensure!(counted(&votes)? == all, "more votes were counted than cast");
        #[expect(clippy::cast_precision_loss, reason = "no run has 2^53 votes")]
        sustained.push(stats.succeeded as f64 / began.elapsed().as_secs_f64());
    }
    report.value(
        "votes from POST to committed",
        "/s",
        &sustained,
        Target::None,
    );
    let half = sustained.iter().copied().fold(f64::INFINITY, f64::min) / 2.0;
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds() {
        let delivery: DeliveryStats = run_task(&Task::Steady(Steady {
            vote: vote.address,
            result: result.address,
            connections: CONNECTIONS,
            counted: counted(&votes)?,
            rate: half,
            duration: scale.of(Duration::from_secs(10), Duration::from_secs(2)),
        }))?;
        ensure!(
            delivery.failed == 0,
            "{} votes were rejected",
            delivery.failed
        );
        rounds.push(delivery);
    }
    let of = |figure: fn(&DeliveryStats) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let at = format!("at {half:.0} votes/s");
    report.value(
        format!("from POST to a viewer, p50, {at}"),
        "ms",
        &of(|round| round.p50),
        Target::AtMost(100.0),
    );
    report.value(
        format!("from POST to a viewer, p99, {at}"),
        "ms",
        &of(|round| round.p99),
        Target::AtMost(500.0),
    );
    ensure!(
        votes.tally_matches_votes()?,
        "the tally does not equal the counted votes"
    );
    Ok(())
}

fn counted(votes: &Votes) -> anyhow::Result<u64> {
    let total = votes.number("SELECT coalesce(sum(votes), 0)::bigint FROM tally")?;
    Ok(total.unsigned_abs())
}
