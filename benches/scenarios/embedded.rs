//! Votes by the page's form into the embedded database, each on the disk before its response.

use anyhow::ensure;
use local_servers::block_on;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::{NEW_AND_CHANGED_VOTES, Scale, requests};
use crate::{
    client::{RequestStats, run_task},
    report::{Report, Target},
    service::Service,
};

pub fn run(scale: Scale, report: &mut Report) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let url = format!("sqlite://{}", folder.path().join("voting.db").display());
    let vote = Service::start("vote", &[("QUEUE_URL", &url)])?;
    for connections in [1, 64, 256]
        .into_iter()
        .skip(scale.of(0, 1))
        .take(scale.of(3, 1))
    {
        let mut rounds = Vec::new();
        for _ in 0..scale.rounds() {
            let before = count_ballots(&url)?;
            let stats: RequestStats = run_task(&requests(
                scale,
                vote.address,
                NEW_AND_CHANGED_VOTES,
                connections,
            ))?;
            let queued = count_ballots(&url)? - before;
            ensure!(stats.failed == 0, "{} votes were rejected", stats.failed);
            ensure!(
                queued == stats.succeeded,
                "{} votes were accepted, {queued} are in the queue",
                stats.succeeded
            );
            rounds.push(stats);
        }
        let of = |figure: fn(&RequestStats) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
        let who = format!("{connections} connections");
        let target = if connections == 1 {
            Target::None
        } else {
            Target::AtLeast(5000.0)
        };
        report.value(
            format!("durable votes, {who}"),
            "/s",
            &of(|round| round.per_second),
            target,
        );
        report.value(
            format!("p99, {who}"),
            "ms",
            &of(|round| round.p99),
            Target::None,
        );
    }
    Ok(())
}

fn count_ballots(url: &str) -> anyhow::Result<u64> {
    block_on(async {
        let mut file = SqliteConnection::connect(url).await?;
        let ballots: i64 = sqlx::query_scalar("SELECT count(*) FROM ballots")
            .fetch_one(&mut file)
            .await?;
        Ok(ballots.unsigned_abs())
    })
}
