//! Faults by chance, many at once, while voters vote and change their minds; then everything is mended, and it is
//! checked that nothing accepted is lost. `FAULT_RUN_SEED` chooses the schedule, `FAULT_RUN_DURATION` how long it goes on.

mod mutants;
mod rig;
mod schedule;

use std::{sync::Arc, time::Duration};

use load::{Load, LoadConfig, Observer, Report, schedule::Plan};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    rig::{Programs, Rig},
    schedule::Schedule,
};
use super::until_empty;
use crate::harness::{PATIENCE, skip::or_skip};

/// Votes in a second: what a debug build on a small machine takes in with ease.
const RATE: f64 = 300.0;
/// So many that most have voted last before some fault that matters.
const VOTERS: usize = 3000;

/// What came of a run.
struct Outcome {
    report: Report,
    /// From the last mend until nothing moved any more.
    recovery: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_breaks_nothing_accepted_is_lost() {
    let setting = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let seed = setting("FAULT_RUN_SEED").map(|seed| seed.parse().expect("a seed is a number"));
    let seed = seed.unwrap_or_else(rand::random);
    let length = setting("FAULT_RUN_DURATION")
        .map_or(Ok(Duration::from_secs(20)), |length| cli::duration(&length));
    let schedule = Schedule::of(seed, length.expect("a duration, such as 3m"));
    println!("FAULT_RUN_SEED={seed}\n{schedule}");
    let rig = or_skip!(Rig::new(seed, &Programs::ours()).await);
    let (rig, outcome) = run(rig, seed, schedule, PATIENCE).await;
    let Outcome {
        report, recovery, ..
    } = outcome;
    println!("{report}\nat rest {recovery:.1?} after the last fault was mended");
    for broken in &report.violations {
        println!("VIOLATION {}", broken.text);
    }
    assert!(report.violations.is_empty() && report.quiescent);
    assert!(report.outcomes["accepted"].count > 0);
    until_empty(&rig.storage).await;
    assert_eq!(rig.storage.store().await.dead_letters().await.unwrap(), []);
    rig.stop().await;
}

/// Lets voters vote while the schedule is carried out, mends what is broken, and judges.
async fn run(rig: Rig, seed: u64, schedule: Schedule, patience: Duration) -> (Arc<Rig>, Outcome) {
    let rig = Arc::new(rig);
    let store = rig.storage.store_config();
    let watch = Observer::new(rig.result_url().parse().unwrap(), Some(&store)).await;
    let watch = watch.unwrap();
    let before = watch.observe_baseline().await.unwrap();
    let config = LoadConfig {
        vote: rig
            .vote_urls()
            .iter()
            .map(|url| url.parse().unwrap())
            .collect(),
        voters: VOTERS,
        connections: 64,
        plan: Plan {
            rate: Some(RATE),
            ..Plan::default()
        },
        seed,
        request_timeout: Duration::from_secs(2),
    };
    let stop = CancellationToken::new();
    let voting = {
        let stop = stop.clone();
        tokio::spawn(async move { Load::run(&config, stop).await })
    };
    let began = Instant::now();
    let mut faults = JoinSet::new();
    for event in schedule.0 {
        let rig = rig.clone();
        faults.spawn(async move {
            sleep_until(began + event.at).await;
            rig.suffer(event).await;
        });
    }
    faults.join_all().await;
    stop.cancel();
    let load = voting.await.unwrap().unwrap();
    let mended = Instant::now();
    rig.until_ready().await;
    let verdict = watch
        .settle(&load.history, &before, patience)
        .await
        .unwrap();
    let outcome = Outcome {
        report: Report::new(seed, &load, &before, &verdict),
        recovery: mended.elapsed(),
    };
    (rig, outcome)
}
