//! Votes by the page's form into the embedded file, each on the disk before it is answered.

use anyhow::ensure;
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use super::Scale;
use crate::{
    drive::{Answered, Kind, Requests, Task, drive},
    report::{Aim, Report},
    service::Service,
    store::block_on,
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
            let before = kept(&url)?;
            let answered: Answered = drive(&Task::Requests(Requests {
                address: vote.address,
                kind: Kind::Vote {
                    gzip: false,
                    again: true,
                },
                connections,
                warm_up: scale.warm_up(),
                duration: scale.duration(),
            }))?;
            let kept = kept(&url)? - before;
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
            rounds.push(answered);
        }
        let of = |figure: fn(&Answered) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
        let who = format!("{connections} connections");
        let aim = if connections == 1 {
            Aim::None
        } else {
            Aim::AtLeast(5000.0)
        };
        report.value(
            format!("durable votes, {who}"),
            "/s",
            &of(|round| round.per_second),
            aim,
        );
        report.value(
            format!("p99, {who}"),
            "ms",
            &of(|round| round.p99),
            Aim::None,
        );
    }
    Ok(())
}

fn kept(url: &str) -> anyhow::Result<u64> {
    block_on(async {
        let mut file = SqliteConnection::connect(url).await?;
        let ballots: i64 = sqlx::query_scalar("SELECT count(*) FROM ballots")
            .fetch_one(&mut file)
            .await?;
        Ok(ballots.unsigned_abs())
    })
}
