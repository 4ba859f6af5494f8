//! Votes by the page's form, each on the disk of Redis before its response. The limit responds with a page of the same
//! size at once. A minimal handler that only waits for one stream entry shows the cost of the disk.

use anyhow::ensure;
use redis::Commands;

use super::{Scale, megabytes, requests};
use crate::{
    client::{RequestKind, RequestStats, run_task},
    http, limit,
    report::{Report, Target},
    servers::Redis,
    service::Service,
    usage,
};

const STREAM: &str = "ballots";

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let redis = Redis::start()?;
    let vote = Service::start("vote", &[("QUEUE_URL", &redis.url)])?;
    let page = http::post_vote(vote.address, "a")?.len();
    let limit = Service::limit(&limit::Task::Page(page))?;
    let url = redis.url.clone();
    let entry = Service::limit(&limit::Task::Entry { url, page })?;
    let cases: &[_] = if scale.quick {
        &[(64, false)]
    } else {
        &[(1, false), (64, false), (256, false), (64, true)]
    };
    for &(connections, gzip) in cases {
        let task = |service: &Service| {
            requests(
                scale,
                service.address,
                RequestKind::Vote { gzip, repeat: true },
                connections,
            )
        };
        let (mut limits, mut entries, mut votes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.rounds() {
            limits.push(run_task::<RequestStats>(&task(&limit))?);
            entries.push(run_task::<RequestStats>(&task(&entry))?.per_second);
            let _: () = redis.connect()?.del(&[STREAM, "limit"])?;
            let stats = run_task::<RequestStats>(&task(&vote))?;
            let queued: u64 = redis.connect()?.xlen(STREAM)?;
            ensure!(stats.failed == 0, "{} votes were rejected", stats.failed);
            ensure!(
                queued == stats.succeeded,
                "{} votes were accepted, {queued} are in the queue",
                stats.succeeded
            );
            votes.push(stats);
        }
        let of = |rounds: &[RequestStats], figure: fn(&RequestStats) -> f64| {
            rounds.iter().map(figure).collect::<Vec<_>>()
        };
        let who = format!(
            "{connections} connections{}",
            if gzip { ", compressed" } else { "" }
        );
        let (speed, p99) = match (connections, gzip) {
            (64, false) => (Target::OfLimit(0.5), Target::AtMost(5.0)),
            (256, false) => (Target::OfLimit(0.65), Target::AtMost(15.0)),
            _ => (Target::None, Target::None),
        };
        report.compare(
            format!("durable votes, {who}"),
            "/s",
            &of(&votes, |round| round.per_second),
            &of(&limits, |round| round.per_second),
            speed,
        );
        report.compare(
            format!("an entry and a page, minimal handler, {who}"),
            "/s",
            &entries,
            &of(&limits, |round| round.per_second),
            Target::None,
        );
        report.compare(
            format!("p50, {who}"),
            "ms",
            &of(&votes, |round| round.p50),
            &of(&limits, |round| round.p50),
            Target::None,
        );
        report.compare(
            format!("p99, {who}"),
            "ms",
            &of(&votes, |round| round.p99),
            &of(&limits, |round| round.p99),
            p99,
        );
    }
    let memory = megabytes(usage::peak_memory(vote.id())?);
    report.value("peak memory", "MB", &[memory], Target::AtMost(40.0));
    Ok(())
}
