//! All three services together: what they sustain, and how soon a vote is seen at half of that.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::Scale;
use crate::{
    drive::{Answered, Kind, Requests, Seen, Steady, Task, drive},
    report::{Aim, Report},
    servers::{Postgres, Redis},
    service::Service,
    store::Votes,
};

const LONGEST: Duration = Duration::from_mins(2);
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
        let answered: Answered = drive(&Task::Requests(Requests {
            address: vote.address,
            kind: Kind::Vote {
                gzip: false,
                again: false,
            },
            connections: CONNECTIONS,
            warm_up: Duration::ZERO,
            duration: scale.duration(),
        }))?;
        ensure!(
            answered.failed == 0,
            "{} votes were refused",
            answered.failed
        );
        let all = before + answered.all;
        while counted(&votes)? < all {
            ensure!(began.elapsed() < LONGEST, "accepted votes are not counted");
            sleep(Duration::from_millis(5));
        }
        ensure!(
            counted(&votes)? == all,
            "more votes are counted than were cast"
        );
        #[expect(clippy::cast_precision_loss, reason = "no run has so many votes")]
        sustained.push(answered.all as f64 / began.elapsed().as_secs_f64());
    }
    report.value("votes from POST to committed", "/s", &sustained, Aim::None);
    let half = sustained.iter().copied().fold(f64::INFINITY, f64::min) / 2.0;
    let mut rounds = Vec::new();
    for _ in 0..scale.rounds() {
        let seen: Seen = drive(&Task::Steady(Steady {
            vote: vote.address,
            result: result.address,
            connections: CONNECTIONS,
            counted: counted(&votes)?,
            rate: half,
            duration: scale.of(Duration::from_secs(10), Duration::from_secs(2)),
        }))?;
        ensure!(seen.failed == 0, "{} votes were refused", seen.failed);
        rounds.push(seen);
    }
    let of = |figure: fn(&Seen) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let at = format!("at {half:.0} votes/s");
    report.value(
        format!("from POST to a viewer, p50, {at}"),
        "ms",
        &of(|round| round.p50),
        Aim::AtMost(100.0),
    );
    report.value(
        format!("from POST to a viewer, p99, {at}"),
        "ms",
        &of(|round| round.p99),
        Aim::AtMost(500.0),
    );
    ensure!(votes.is_sound()?, "the tally is not the votes counted");
    Ok(())
}

fn counted(votes: &Votes) -> anyhow::Result<u64> {
    let total = votes.number("SELECT coalesce(sum(votes), 0)::bigint FROM tally")?;
    Ok(total.unsigned_abs())
}
