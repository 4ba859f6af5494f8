//! The startup time of the services and their CPU and memory usage while idle.

use std::{thread::sleep, time::Duration};

use super::{Scale, megabytes};
use crate::{
    report::{Report, Target},
    servers::{Postgres, Redis},
    service::Service,
    store::Votes,
    usage,
};

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let (redis, postgres) = (Redis::start()?, Postgres::start()?);
    let votes = Votes::prepare(postgres.database("poll")?)?;
    let environment = [
        ("QUEUE_URL", redis.url.as_str()),
        ("DATABASE_URL", &votes.url),
    ];
    let idle = scale.of(Duration::from_secs(20), Duration::from_secs(2));
    for name in ["vote", "worker", "result"] {
        let mut times = Vec::new();
        for _ in 0..scale.rounds() {
            times.push(
                Service::start(name, &environment)?
                    .startup_time
                    .as_secs_f64(),
            );
        }
        report.value(
            format!("{name}: from start to ready"),
            "s",
            &times,
            Target::AtMost(0.3),
        );
        let service = Service::start(name, &environment)?;
        sleep(Duration::from_secs(1));
        let before = usage::cpu(service.id())?;
        sleep(idle);
        let used = usage::cpu(service.id())?
            .saturating_sub(before)
            .as_secs_f64()
            / idle.as_secs_f64();
        report.value(
            format!("{name}: CPU usage while idle"),
            "%",
            &[100.0 * used],
            Target::AtMost(0.5),
        );
        let memory = megabytes(usage::memory(service.id())?);
        report.value(
            format!("{name}: memory while idle"),
            "MB",
            &[memory],
            Target::AtMost(20.0),
        );
    }
    Ok(())
}
