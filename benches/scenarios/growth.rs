//! Whether a vote costs the same, however many there are, and however many wait.

use super::{
    Scale,
    backlog::{self, Drained},
};
use crate::{
    drive::{Answered, Kind, Requests, Task, drive},
    report::{Aim, Report},
    rounds::Spread,
    servers::{FOR_MANY_ROWS, Postgres, Redis},
    service::Service,
    store::Votes,
};

/// So far from the numbers of all other voters that they are new.
const NEW: u64 = 1_000_000_000;
/// How many times the votes that are stored at once there are in the end.
const MOST_ROWS: u64 = 100;
/// From one voter to the next who comes: a prime, so that nobody comes twice.
const FAR_APART: u64 = 7_368_787;

/// When the votes come. The first change of a page after a checkpoint writes the whole page to Postgres's log.
#[derive(Clone, Copy)]
enum Moment {
    /// Every page has been changed since.
    LongAfterCheckpoint,
    /// No page has.
    JustAfterCheckpoint,
}

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let redis = Redis::start()?;
    let few = {
        let (_postgres, votes) = prepare()?;
        rows(scale, report, &redis, &votes, Moment::LongAfterCheckpoint)?
    };
    let (_postgres, votes) = prepare()?;
    rows(scale, report, &redis, &votes, Moment::JustAfterCheckpoint)?;
    from_a_checkpoint_on(scale, report, &redis, &votes, few)?;
    backlogs(scale, report, &redis)
}

fn prepare() -> anyhow::Result<(Postgres, Votes)> {
    let postgres = Postgres::start_with(&FOR_MANY_ROWS)?;
    let votes = Votes::prepare(postgres.database("rows")?)?;
    Ok((postgres, votes))
}

/// What a vote costs, in seconds.
#[derive(Clone, Copy)]
struct Costs {
    new: f64,
    repeat: f64,
}

/// The same number of votes over ever more rows. Returns what they cost over the fewest.
fn rows(
    scale: Scale,
    report: &mut Report,
    redis: &Redis,
    votes: &Votes,
    moment: Moment,
) -> anyhow::Result<Costs> {
    let when = match moment {
        Moment::LongAfterCheckpoint => "long after a checkpoint",
        Moment::JustAfterCheckpoint => "just after a checkpoint",
    };
    let ballots = ballots(scale);
    let mut rows = 0;
    let (mut reads, mut new, mut repeat) = (Vec::new(), Vec::new(), Vec::new());
    for size in [ballots, 10 * ballots, MOST_ROWS * ballots] {
        votes.fill(rows, size)?;
        votes.execute("VACUUM ANALYZE")?;
        rows = size;
        let time = votes.time_to_read_the_tally()?.as_secs_f64() * 1e3;
        let what = format!("time to read the tally, {rows} votes");
        report.value(what, "ms", &[time], Aim::None);
        reads.push(time);
        for (who, first, apart, of_size) in [
            ("repeat", 0, rows / ballots, &mut repeat),
            ("new", NEW + rows, 1, &mut new),
        ] {
            let mut speeds = Vec::new();
            for round in 1..=scale.of(3, 1) {
                let newcomers = if who == "new" {
                    (round - 1) * ballots
                } else {
                    0
                };
                let numbers = (0..ballots).map(|number| first + newcomers + number * apart);
                backlog::fill(redis, numbers, round.cast_signed())?;
                if let Moment::JustAfterCheckpoint = moment {
                    votes.execute("CHECKPOINT")?;
                }
                let Drained { per_second, .. } = backlog::drain(redis, votes, ballots, 1)?;
                speeds.push(per_second);
            }
            let what = format!("{who} voters stored, {rows} rows before, {when}");
            report.value(what, "/s", &speeds, Aim::None);
            of_size.push(1.0 / Spread::of(&speeds).median);
        }
    }
    let many = format!("rows, {when}");
    for (what, costs, most) in [
        ("reading the tally", &reads, 2.0),
        ("a new voter's vote", &new, 1.5),
        ("a repeat vote", &repeat, 1.5),
    ] {
        compare(report, what, &many, costs, most);
    }
    Ok(Costs {
        new: new[0],
        repeat: repeat[0],
    })
}

/// Over the most rows, as many votes from a checkpoint on as meet every page: all that a checkpoint costs is in them, and what
/// comes after them until the next one costs less.
fn from_a_checkpoint_on(
    scale: Scale,
    report: &mut Report,
    redis: &Redis,
    votes: &Votes,
    few: Costs,
) -> anyhow::Result<()> {
    let ballots = ballots(scale);
    let (rows, many) = (MOST_ROWS * ballots, 20 * ballots);
    for (who, first, before) in [("repeat", 0, few.repeat), ("new", 2 * NEW, few.new)] {
        // In no order, as people come.
        let numbers = (0..many).map(|number| first + (number * FAR_APART) % rows);
        backlog::fill(redis, numbers, 1)?;
        votes.execute("CHECKPOINT")?;
        let Drained { per_second, .. } = backlog::drain(redis, votes, many, 1)?;
        let when = format!("the first {many} votes after a checkpoint");
        let what = format!("{who} voters stored, {rows} rows before, {when}");
        report.value(what, "/s", &[per_second], Aim::None);
        let what = format!("cost of a {who} voter's vote: {MOST_ROWS} times the rows, {when}");
        let cost = 1.0 / per_second;
        report.value(what, "×", &[cost / before], Aim::AtMost(1.5));
    }
    Ok(())
}

/// So many are stored at once.
fn ballots(scale: Scale) -> u64 {
    scale.of(100_000, 10_000)
}

/// The same number of votes while ever more wait: what one costs `vote`, and what it costs the worker.
fn backlogs(scale: Scale, report: &mut Report, redis: &Redis) -> anyhow::Result<()> {
    let postgres = Postgres::start()?;
    let votes = Votes::prepare(postgres.database("backlogs")?)?;
    let vote = Service::start("vote", &[("QUEUE_URL", &redis.url)])?;
    let crowd = scale.of(100_000, 5_000);
    votes.fill(0, crowd)?;
    let (mut accepted, mut stored) = (Vec::new(), Vec::new());
    for (times, round) in [(1, 1), (10, 2), (100, 3)] {
        let waiting = times * crowd;
        backlog::fill(redis, (0..waiting).map(|number| number % crowd), round)?;
        let answered: Answered = drive(&Task::Requests(Requests {
            address: vote.address,
            kind: Kind::Vote {
                gzip: false,
                again: false,
            },
            connections: 64,
            warm_up: scale.warm_up(),
            duration: scale.duration(),
        }))?;
        let what = format!("votes accepted, {waiting} waiting before");
        report.value(what, "/s", &[answered.per_second], Aim::None);
        accepted.push(1.0 / answered.per_second);
        let Drained { per_second, .. } = backlog::drain(redis, &votes, crowd, 1)?;
        let what = format!("repeat voters stored, {waiting} waiting before");
        report.value(what, "/s", &[per_second], Aim::None);
        stored.push(1.0 / per_second);
    }
    for (what, costs) in [
        ("a vote until it is accepted", &accepted),
        ("a repeat vote until it is stored", &stored),
    ] {
        compare(report, what, "votes waiting", costs, 1.5);
    }
    Ok(())
}

/// What it costs with a hundred times as many, of what it costs with the fewest.
fn compare(report: &mut Report, what: &str, many: &str, costs: &[f64], bound: f64) {
    if let [least, .., most] = costs {
        let what = format!("cost of {what}: 100 times the {many}");
        report.value(what, "×", &[most / least], Aim::AtMost(bound));
    }
}
