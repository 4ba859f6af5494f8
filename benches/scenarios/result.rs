//! The result as an event stream to many viewers, as a page and as JSON. The limits send the same bytes from memory.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{Scale, requests};
use crate::{
    client::{FanOutStats, RequestKind, RequestStats, Task, Viewers, run_task, run_task_with},
    http, limit,
    report::{Report, Target},
    servers::Postgres,
    service::Service,
    store::Votes,
    usage,
};

/// The interval of tally changes if each change is measured.
const CHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// The interval of tally changes under continuous voting.
const CONTINUOUS_INTERVAL: Duration = Duration::from_millis(20);

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
        let limit = Service::limit(&limit::Task::Page(http::get(result.address, path)?.len()))?;
        let task = |service: &Service, path: &str| {
            requests(
                scale,
                service.address,
                RequestKind::Get(path.to_owned()),
                64,
            )
        };
        let (mut limits, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..scale.rounds() {
            limits.push(run_task::<RequestStats>(&task(&limit, "/"))?.per_second);
            let round: RequestStats = run_task(&task(&result, path))?;
            ensure!(
                round.failed == 0,
                "{} requests of {path} failed",
                round.failed
            );
            rates.push(round.per_second);
        }
        report.compare(
            format!("{what}, 64 connections"),
            "/s",
            &rates,
            &limits,
            Target::OfLimit(0.8),
        );
    }
    Ok(())
}

/// One round of viewers at our service or at a limit.
struct Round {
    fan_out: FanOutStats,
    /// CPU usage, in percent of a core.
    usage: f64,
    /// CPU time per viewer and event, in microseconds.
    cpu: f64,
    /// Memory per viewer, in bytes.
    memory: f64,
}

fn fan_out(scale: Scale, report: &mut Report, votes: &Votes, count: usize) -> anyhow::Result<()> {
    let (mut ours, mut limits) = (Vec::new(), Vec::new());
    for _ in 0..scale.of(3, 1) {
        let task = limit::Task::Events {
            bytes: 330,
            every: CHANGE_INTERVAL,
        };
        let limit = Service::limit(&task)?;
        limits.push(watch(scale, &limit, count, |until| {
            sleep(until.saturating_duration_since(Instant::now()));
            Ok(())
        })?);
        let result = Service::start("result", &[("DATABASE_URL", &votes.url)])?;
        ours.push(watch(scale, &result, count, |until| {
            change_until(votes, CHANGE_INTERVAL, until)
        })?);
    }
    for round in limits.iter().chain(&ours) {
        let fan_out = &round.fan_out;
        ensure!(
            fan_out.events > 0 && fan_out.complete + 1 >= fan_out.events,
            "not every event reached every viewer: {fan_out:?}"
        );
    }
    let of =
        |rounds: &[Round], figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let who = format!("{count} viewers");
    let cpu = |round: &Round| round.cpu;
    let spread = |round: &Round| round.fan_out.spread_p50;
    let last = |round: &Round| round.fan_out.spread_max;
    let memory = |round: &Round| round.memory / 1000.0;
    let target = if count == 9000 {
        Target::AtMost(250.0)
    } else {
        Target::None
    };
    report.compare(
        format!("CPU time per viewer and event, {who}"),
        "µs",
        &of(&ours, cpu),
        &of(&limits, cpu),
        Target::None,
    );
    report.compare(
        format!("from the first viewer to the last, {who}"),
        "ms",
        &of(&ours, spread),
        &of(&limits, spread),
        target,
    );
    report.compare(
        format!("from the first viewer to the last, slowest event, {who}"),
        "ms",
        &of(&ours, last),
        &of(&limits, last),
        Target::None,
    );
    report.compare(
        format!("memory per viewer, {who}"),
        "KB",
        &of(&ours, memory),
        &of(&limits, memory),
        Target::AtMost(20.0),
    );
    let result = Service::start("result", &[("DATABASE_URL", &votes.url)])?;
    let continuous = watch(scale, &result, count, |until| {
        change_until(votes, CONTINUOUS_INTERVAL, until)
    })?;
    report.value(
        format!("CPU usage, {who}, continuous votes"),
        "%",
        &[continuous.usage],
        Target::None,
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
    let fan_out: FanOutStats = run_task_with(&task, || {
        let before = usage::cpu(service.id())?;
        change(Instant::now() + duration)?;
        cpu = usage::cpu(service.id())?.saturating_sub(before);
        Ok(())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "viewers and events are few")]
    let (viewers, events) = (count as f64, fan_out.events as f64);
    Ok(Round {
        usage: 100.0 * cpu.as_secs_f64() / duration.as_secs_f64(),
        cpu: cpu.as_secs_f64() * 1e6 / viewers / events,
        memory: (usage::peak_memory(service.id())? - memory_before) / viewers,
        fan_out,
    })
}

/// Adds a vote at each interval.
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
