//! Random faults, many at the same time, while voters vote and change their votes. After the last fault the test checks
//! that no accepted vote is lost. `FAULT_RUN_SEED` sets the schedule, `FAULT_RUN_DURATION` its length.

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
use super::wait_until_empty;
use crate::harness::{TIMEOUT, skip::or_skip};

/// Votes per second: a load that a debug build on a small machine accepts easily.
const RATE: f64 = 300.0;
/// Enough voters that most of them cast their last vote before a relevant fault.
const VOTERS: usize = 3000;

/// The outcome of a run.
struct Outcome {
    report: Report,
    /// Time from the end of the last fault until the system was quiescent.
    recovery: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_faults_lose_no_accepted_vote() {
    let setting = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let seed = setting("FAULT_RUN_SEED").map(|seed| seed.parse().expect("a seed is a number"));
    let seed = seed.unwrap_or_else(rand::random);
    let length = setting("FAULT_RUN_DURATION")
        .map_or(Ok(Duration::from_secs(20)), |length| cli::duration(&length));
    let schedule = Schedule::of(seed, length.expect("a duration, such as 3m"));
    println!("FAULT_RUN_SEED={seed}\n{schedule}");
    let rig = or_skip!(Rig::new(seed, &Programs::current()).await);
    let (rig, outcome) = run(rig, seed, schedule, TIMEOUT).await;
    let Outcome {
        report, recovery, ..
    } = outcome;
    println!("{report}\nquiescent {recovery:.1?} after the end of the last fault");
    for violation in &report.violations {
        println!("VIOLATION {}", violation.text);
    }
    assert!(report.violations.is_empty() && report.quiescent);
    assert!(report.outcomes["accepted"].count > 0);
    wait_until_empty(&rig.storage).await;
    assert_eq!(rig.storage.store().await.dead_letters().await.unwrap(), []);
    rig.stop().await;
}

/// Runs the schedule under load, ends all faults and checks the votes.
async fn run(rig: Rig, seed: u64, schedule: Schedule, timeout: Duration) -> (Arc<Rig>, Outcome) {
    let rig = Arc::new(rig);
    let store = rig.storage.store_config();
    let observer = Observer::new(rig.result_url().parse().unwrap(), Some(&store)).await;
    let observer = observer.unwrap();
    let before = observer.observe_baseline().await.unwrap();
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
            rig.inject_fault(event).await;
        });
    }
    faults.join_all().await;
    stop.cancel();
    let load = voting.await.unwrap().unwrap();
    let ended = Instant::now();
    rig.wait_until_ready().await;
    let verdict = observer
        .settle(&load.history, &before, timeout)
        .await
        .unwrap();
    let outcome = Outcome {
        report: Report::new(seed, &load, &before, &verdict),
        recovery: ended.elapsed(),
    };
    (rig, outcome)
}
