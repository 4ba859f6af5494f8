//! The cost of a vote by the number of stored votes, by the length of the queue and by the number of closed polls.

use super::{
    NEW_VOTES, Scale,
    backlog::{self, Drained},
    requests,
};
use crate::{
    client::{RequestStats, run_task},
    report::{Report, Target},
    rounds::Spread,
    servers::{LARGE_TABLE_SETTINGS, Postgres, Redis},
    service::Service,
    store::Votes,
};

/// The first number of new voters, far above the numbers of all others.
const NEW_VOTERS: u64 = 1_000_000_000;
/// The largest number of rows, as a multiple of the votes stored per round.
const MAX_ROWS_FACTOR: u64 = 100;
/// The difference between the numbers of successive voters: a prime, so that no voter repeats.
const VOTER_STRIDE: u64 = 7_368_787;

/// Number of closed polls, as after years of questions.
const CLOSED_POLLS: u64 = 1000;

/// The time of the votes relative to a checkpoint. The first change of a page after a checkpoint writes the whole page to
/// the write-ahead log.
#[derive(Clone, Copy)]
enum Timing {
    /// Every page has been changed since the checkpoint.
    LongAfterCheckpoint,
    /// No page has been changed since the checkpoint.
    JustAfterCheckpoint,
}

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let redis = Redis::start()?;
    let few = {
        let (_postgres, votes) = prepare()?;
        rows(scale, report, &redis, &votes, Timing::LongAfterCheckpoint)?
    };
    let (_postgres, votes) = prepare()?;
    rows(scale, report, &redis, &votes, Timing::JustAfterCheckpoint)?;
    after_checkpoint(scale, report, &redis, &votes, few)?;
    backlogs(scale, report, &redis)?;
    closed_polls(scale, report, &redis)
}

fn prepare() -> anyhow::Result<(Postgres, Votes)> {
    let postgres = Postgres::start_with(LARGE_TABLE_SETTINGS)?;
    let votes = Votes::prepare(postgres.database("rows")?)?;
    Ok((postgres, votes))
}

/// The cost of a vote, in seconds.
#[derive(Clone, Copy)]
struct Costs {
    new: f64,
    repeat: f64,
}

/// Stores the same number of votes over more and more rows. Returns the costs with the fewest rows.
fn rows(
    scale: Scale,
    report: &mut Report,
    redis: &Redis,
    votes: &Votes,
    timing: Timing,
) -> anyhow::Result<Costs> {
    let when = match timing {
        Timing::LongAfterCheckpoint => "long after a checkpoint",
        Timing::JustAfterCheckpoint => "just after a checkpoint",
    };
    let ballots = ballots(scale);
    let mut rows = 0;
    let (mut reads, mut new, mut repeat) = (Vec::new(), Vec::new(), Vec::new());
    for size in [ballots, 10 * ballots, MAX_ROWS_FACTOR * ballots] {
        votes.fill(rows, size)?;
        votes.execute("VACUUM ANALYZE")?;
        rows = size;
        let time = votes.tally_read_time()?.as_secs_f64() * 1e3;
        let what = format!("time to read the tally, {rows} votes");
        report.value(what, "ms", &[time], Target::None);
        reads.push(time);
        for (who, first, apart, of_size) in [
            ("repeat", 0, rows / ballots, &mut repeat),
            ("new", NEW_VOTERS + rows, 1, &mut new),
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
                if let Timing::JustAfterCheckpoint = timing {
                    votes.execute("CHECKPOINT")?;
                }
                let Drained { per_second, .. } = backlog::drain(redis, votes, ballots, 1)?;
                speeds.push(per_second);
            }
            let what = format!("{who} voters stored, {rows} rows before, {when}");
            report.value(what, "/s", &speeds, Target::None);
            of_size.push(1.0 / Spread::of(&speeds).median);
        }
    }
    let many = format!("rows, {when}");
    for (what, costs, most) in [
        ("reading the tally", &reads, 2.0),
        ("a new voter's vote", &new, 1.5),
        ("a repeat vote", &repeat, 1.5),
    ] {
        report_growth(report, what, &many, costs, most);
    }
    Ok(Costs {
        new: new[0],
        repeat: repeat[0],
    })
}

/// Stores enough votes after a checkpoint to change every page of the largest table. They bear the whole cost of the
/// checkpoint; later votes until the next one cost less.
fn after_checkpoint(
    scale: Scale,
    report: &mut Report,
    redis: &Redis,
    votes: &Votes,
    few: Costs,
) -> anyhow::Result<()> {
    let ballots = ballots(scale);
    let (rows, many) = (MAX_ROWS_FACTOR * ballots, 20 * ballots);
    for (who, first, before) in [("repeat", 0, few.repeat), ("new", 2 * NEW_VOTERS, few.new)] {
        // Pseudo-random order, as real voters arrive.
        let numbers = (0..many).map(|number| first + (number * VOTER_STRIDE) % rows);
        backlog::fill(redis, numbers, 1)?;
        votes.execute("CHECKPOINT")?;
        let Drained { per_second, .. } = backlog::drain(redis, votes, many, 1)?;
        let when = format!("the first {many} votes after a checkpoint");
        let what = format!("{who} voters stored, {rows} rows before, {when}");
        report.value(what, "/s", &[per_second], Target::None);
        let what =
            format!("cost of a {who} voter's vote: {MAX_ROWS_FACTOR} times the rows, {when}");
        let cost = 1.0 / per_second;
        report.value(what, "×", &[cost / before], Target::AtMost(1.5));
    }
    Ok(())
}

/// Ballots per round.
fn ballots(scale: Scale) -> u64 {
    scale.of(100_000, 10_000)
}

/// Measures `vote` and the worker with the same number of votes and longer and longer queues.
fn backlogs(scale: Scale, report: &mut Report, redis: &Redis) -> anyhow::Result<()> {
    let postgres = Postgres::start()?;
    let votes = Votes::prepare(postgres.database("backlogs")?)?;
    let vote = Service::start("vote", &[("QUEUE_URL", &redis.url)])?;
    let voter_count = scale.of(100_000, 5_000);
    votes.fill(0, voter_count)?;
    let (mut accepted, mut stored) = (Vec::new(), Vec::new());
    for (times, round) in [(1, 1), (10, 2), (100, 3)] {
        let waiting = times * voter_count;
        backlog::fill(
            redis,
            (0..waiting).map(|number| number % voter_count),
            round,
        )?;
        let stats: RequestStats = run_task(&requests(scale, vote.address, NEW_VOTES, 64))?;
        let what = format!("votes accepted, {waiting} waiting before");
        report.value(what, "/s", &[stats.per_second], Target::None);
        accepted.push(1.0 / stats.per_second);
        let Drained { per_second, .. } = backlog::drain(redis, &votes, voter_count, 1)?;
        let what = format!("repeat voters stored, {waiting} waiting before");
        report.value(what, "/s", &[per_second], Target::None);
        stored.push(1.0 / per_second);
    }
    for (what, costs) in [
        ("a vote until it is accepted", &accepted),
        ("a repeat vote until it is stored", &stored),
    ] {
        report_growth(report, what, "votes waiting", costs, 1.5);
    }
    Ok(())
}

/// Reads the tally and stores the same votes without closed polls and with a thousand.
fn closed_polls(scale: Scale, report: &mut Report, redis: &Redis) -> anyhow::Result<()> {
    let (_postgres, votes) = prepare()?;
    let ballots = ballots(scale);
    votes.fill(0, ballots)?;
    votes.execute("VACUUM ANALYZE")?;
    let (mut reads, mut stored, mut round) = (Vec::new(), Vec::new(), 0);
    for polls in [0, CLOSED_POLLS] {
        votes.add_closed_polls(polls)?;
        let time = votes.tally_read_time()?.as_secs_f64() * 1e3;
        report.value(
            format!("time to read the tally, {polls} closed polls"),
            "ms",
            &[time],
            Target::None,
        );
        reads.push(time);
        let mut speeds = Vec::new();
        for _ in 0..scale.of(5, 1) {
            round += 1;
            backlog::fill(redis, 0..ballots, round)?;
            speeds.push(backlog::drain(redis, &votes, ballots, 1)?.per_second);
        }
        let what = format!("repeat voters stored, {polls} closed polls");
        report.value(what, "/s", &speeds, Target::None);
        stored.push(1.0 / Spread::of(&speeds).median);
    }
    for (what, costs) in [("reading the tally", reads), ("a repeat vote", stored)] {
        let what = format!("cost of {what}: {CLOSED_POLLS} closed polls");
        report.value(what, "×", &[costs[1] / costs[0]], Target::AtMost(1.25));
    }
    Ok(())
}

/// Reports the cost with a hundred times as many, relative to the cost with the fewest.
fn report_growth(report: &mut Report, what: &str, many: &str, costs: &[f64], bound: f64) {
    if let [least, .., most] = costs {
        let what = format!("cost of {what}: 100 times the {many}");
        report.value(what, "×", &[most / least], Target::AtMost(bound));
    }
}
