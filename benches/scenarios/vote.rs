//! Votes by the page's form, each on the disk of Redis before it is answered. The limit: a page of the same size at once.
//! What of the way to it is the price of the disk shows a handler that only waits for one entry.

use anyhow::ensure;
use redis::Commands;

use super::{Scale, megabytes};
use crate::{
    ask,
    drive::{Answered, Kind, Requests, Task, drive},
    limit,
    report::{Aim, Report},
    servers::Redis,
    service::Service,
    usage,
};

const STREAM: &str = "ballots";

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let redis = Redis::start()?;
    let vote = Service::start("vote", &[("QUEUE_URL", &redis.url)])?;
    let page = ask::vote(vote.address, "a")?.len();
    let limit = Service::limit(&limit::Task::Page(page))?;
    let url = redis.url.clone();
    let entry = Service::limit(&limit::Task::Entry { url, page })?;
    let cases: &[_] = if scale.quick {
        &[(64, false)]
    } else {
        &[(1, false), (64, false), (256, false), (64, true)]
    };
    for &(connections, gzip) in cases {
        let requests = |service: &Service| {
            Task::Requests(Requests {
                address: service.address,
                kind: Kind::Vote { gzip, again: true },
                connections,
                warm_up: scale.warm_up(),
                duration: scale.duration(),
            })
        };
        let (mut limits, mut entries, mut votes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.rounds() {
            limits.push(drive::<Answered>(&requests(&limit))?);
            entries.push(drive::<Answered>(&requests(&entry))?.per_second);
            let _: () = redis.connect()?.del(&[STREAM, "limit"])?;
            let answered = drive::<Answered>(&requests(&vote))?;
            let kept: u64 = redis.connect()?.xlen(STREAM)?;
            ensure!(
                answered.failed == 0,
                "{} votes were refused",
                answered.failed
            );
            ensure!(
                kept == answered.all,
                "{} votes were accepted, {kept} are in the queue",
                answered.all
            );
            votes.push(answered);
        }
        let of = |rounds: &[Answered], figure: fn(&Answered) -> f64| {
            rounds.iter().map(figure).collect::<Vec<_>>()
        };
        let who = format!(
            "{connections} connections{}",
            if gzip { ", compressed" } else { "" }
        );
        let (speed, p99) = match (connections, gzip) {
            (64, false) => (Aim::OfLimit(0.5), Aim::AtMost(5.0)),
            (256, false) => (Aim::OfLimit(0.65), Aim::AtMost(15.0)),
            _ => (Aim::None, Aim::None),
        };
        report.beside(
            format!("durable votes, {who}"),
            "/s",
            &of(&votes, |round| round.per_second),
            &of(&limits, |round| round.per_second),
            speed,
        );
        report.beside(
            format!("an entry and a page, and nothing around it, {who}"),
            "/s",
            &entries,
            &of(&limits, |round| round.per_second),
            Aim::None,
        );
        report.beside(
            format!("p50, {who}"),
            "ms",
            &of(&votes, |round| round.p50),
            &of(&limits, |round| round.p50),
            Aim::None,
        );
        report.beside(
            format!("p99, {who}"),
            "ms",
            &of(&votes, |round| round.p99),
            &of(&limits, |round| round.p99),
            p99,
        );
    }
    let memory = megabytes(usage::peak_memory(vote.id())?);
    report.value("most memory", "MB", &[memory], Aim::AtMost(40.0));
    Ok(())
}
