//! The result: to many viewers at once, as a page, and as JSON. The limits: the same bytes with nothing behind them.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::Scale;
use crate::{
    ask,
    drive::{self, Answered, Kind, Requests, Task, Viewers, Watched, drive},
    limit,
    report::{Aim, Report},
    servers::Postgres,
    service::Service,
    store::Votes,
    usage,
};

/// How often the tally changes where each change is measured.
const EVERY: Duration = Duration::from_secs(1);
/// And where it never rests.
const ALL_THE_TIME: Duration = Duration::from_millis(20);

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let postgres = Postgres::start()?;
    let votes = Votes::prepare(postgres.database("poll")?)?;
    votes.fill(0, 10_000)?;
    let viewers: &[usize] = if scale.quick {
        &[500]
    } else {
        &[1000, 5000, 9000]
    };
    for count in viewers {
        fan_out(scale, report, &votes, *count)?;
    }
    let result = Service::start("result", &[("DATABASE_URL", &votes.url)])?;
    for (path, what) in [("/", "page"), ("/api/tally", "tally as JSON")] {
        let limit = Service::limit(&limit::Task::Page(ask::get(result.address, path)?.len()))?;
        let requests = |service: &Service, path: &str| {
            Task::Requests(Requests {
                address: service.address,
                kind: Kind::Get(path.to_owned()),
                connections: 64,
                warm_up: scale.warm_up(),
                duration: scale.duration(),
            })
        };
        let (mut limits, mut answered) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds() {
            limits.push(drive::<Answered>(&requests(&limit, "/"))?.per_second);
            let round: Answered = drive(&requests(&result, path))?;
            ensure!(
                round.failed == 0,
                "{} requests of {path} failed",
                round.failed
            );
            answered.push(round.per_second);
        }
        report.beside(
            format!("{what}, 64 connections"),
            "/s",
            &answered,
            &limits,
            Aim::OfLimit(0.8),
        );
    }
    Ok(())
}

/// One round of viewers, at a service of ours or a limit.
struct Round {
    watched: Watched,
    /// The part of a core that it took, in percent.
    busy: f64,
    /// Microseconds of a core per viewer and event.
    cpu: f64,
    /// Bytes per viewer.
    memory: f64,
}

fn fan_out(scale: Scale, report: &mut Report, votes: &Votes, count: usize) -> anyhow::Result<()> {
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..scale.of(3, 1) {
        let task = limit::Task::Events {
            bytes: 330,
            every: EVERY,
        };
        let limit = Service::limit(&task)?;
        limits.push(watch(scale, &limit, count, |until| {
            sleep(until.saturating_duration_since(Instant::now()));
            Ok(())
        })?);
        let result = Service::start("result", &[("DATABASE_URL", &votes.url)])?;
        ours.push(watch(scale, &result, count, |until| {
            change_until(votes, EVERY, until)
        })?);
    }
    for round in limits.iter().chain(&ours) {
        let watched = &round.watched;
        ensure!(
            watched.seen > 0 && watched.complete + 1 >= watched.seen,
            "events reached not every viewer: {watched:?}"
        );
    }
    let of =
        |rounds: &[Round], figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let who = format!("{count} viewers");
    let cpu = |round: &Round| round.cpu;
    let spread = |round: &Round| round.watched.spread_p50;
    let last = |round: &Round| round.watched.spread_most;
    let memory = |round: &Round| round.memory / 1000.0;
    let aim = if count == 9000 {
        Aim::AtMost(250.0)
    } else {
        Aim::None
    };
    report.beside(
        format!("a core's time per viewer and event, {who}"),
        "µs",
        &of(&ours, cpu),
        &of(&limits, cpu),
        Aim::None,
    );
    report.beside(
        format!("from the first viewer to the last, {who}"),
        "ms",
        &of(&ours, spread),
        &of(&limits, spread),
        aim,
    );
    report.beside(
        format!("the same, slowest event, {who}"),
        "ms",
        &of(&ours, last),
        &of(&limits, last),
        Aim::None,
    );
    report.beside(
        format!("memory per viewer, {who}"),
        "KB",
        &of(&ours, memory),
        &of(&limits, memory),
        Aim::AtMost(20.0),
    );
    let result = Service::start("result", &[("DATABASE_URL", &votes.url)])?;
    let restless = watch(scale, &result, count, |until| {
        change_until(votes, ALL_THE_TIME, until)
    })?;
    report.value(
        format!("a core's time, {who}, votes all the time"),
        "%",
        &[restless.busy],
        Aim::None,
    );
    Ok(())
}

fn watch(
    scale: Scale,
    service: &Service,
    count: usize,
    change: impl FnOnce(Instant) -> anyhow::Result<()>,
) -> anyhow::Result<Round> {
    let duration = Duration::from_secs(scale.of(10, 3));
    let memory_before = usage::memory(service.id())?;
    let mut cpu = Duration::ZERO;
    let task = Task::Viewers(Viewers {
        address: service.address,
        count,
        duration,
    });
    let watched: Watched = drive::start(&task, || {
        let before = usage::cpu(service.id())?;
        change(Instant::now() + duration)?;
        cpu = usage::cpu(service.id())?.saturating_sub(before);
        Ok(())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "viewers and events are few")]
    let (viewers, events) = (count as f64, watched.seen as f64);
    Ok(Round {
        busy: 100.0 * cpu.as_secs_f64() / duration.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / viewers / events,
        memory: (usage::peak_memory(service.id())? - memory_before) / viewers,
        watched,
    })
}

/// One vote more each time.
fn change_until(votes: &Votes, every: Duration, until: Instant) -> anyhow::Result<()> {
    while Instant::now() + every < until {
        sleep(every);
        votes.execute(
            "INSERT INTO votes (id, vote, cast_ms) SELECT md5(clock_timestamp()::text), 'a',
                 (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        )?;
    }
    sleep(until.saturating_duration_since(Instant::now()));
    Ok(())
}
