//! Power losses: unsynced data may be lost from any byte on. Accepted votes were synced before their response.

use std::time::Duration;

use load::{Load, LoadConfig, Observer, check::Violation, schedule::Plan};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::{SHORT_TIMEOUTS, start_ready, wait_until_empty, wait_until_ready};
use crate::harness::{
    TIMEOUT, eventually, power,
    process::Service,
    redis::{self, RedisServer},
    skip::or_skip,
    storage::{Backend, Storage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_every_accepted_vote() {
    let redis = or_skip!(redis::with_power_loss());
    let violations = or_skip!(lose_power_under_load(&redis, 5, TIMEOUT).await);
    assert_eq!(violations, []);
}

/// Shows that the test above can fail: with `everysec`, Redis replies before it syncs and loses acknowledged writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_lost_with_everysec_fsync_are_detected() {
    let redis = or_skip!(redis::with_power_loss());
    for _ in 0..10 {
        redis.set("appendfsync", "everysec");
        let violations = or_skip!(lose_power_under_load(&redis, 1, Duration::from_secs(5)).await);
        if violations
            .iter()
            .any(|violation| matches!(violation.rule(), "lost" | "outdated"))
        {
            return;
        }
    }
    panic!("no vote was lost, although not all were synced");
}

/// Simulates repeated power losses under load, the last one at its end. Returns the violations.
async fn lose_power_under_load(
    redis: &RedisServer,
    times: usize,
    timeout: Duration,
) -> Result<Vec<Violation>, String> {
    let mut storage = Storage::new(Backend::Servers).await?;
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let result = start_ready("result", &storage, &SHORT_TIMEOUTS).await;
    let store = storage.store_config();
    let observer = Observer::new(result.url.parse().unwrap(), Some(&store)).await;
    let observer = observer.unwrap();
    let worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let before = observer.observe_baseline().await.unwrap();
    drop(worker);
    let stop = CancellationToken::new();
    let voting = {
        let (config, stop) = (voters_at(&vote.url, None), stop.clone());
        tokio::spawn(async move { Load::run(&config, stop).await })
    };
    let mut random = SmallRng::seed_from_u64(rand::random());
    for time in 1..=times {
        let wanted = redis.length(&storage.stream) + 300;
        let length = async || redis.length(&storage.stream);
        eventually("ballots", |length| *length >= wanted, length).await;
        let unsynced = block_in_place(|| redis.lose_power(&mut random));
        println!("{unsynced} bytes were not synced");
        if time == times {
            stop.cancel();
        }
        block_in_place(|| redis.server.start());
        redis.wait_until_ready()?;
        wait_until_ready(&vote.url).await;
    }
    let load = voting.await.unwrap().unwrap();
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    wait_until_empty(&storage).await;
    let verdict = observer.settle(&load.history, &before, timeout).await;
    Ok(verdict.unwrap().violations)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_storage_keeps_every_accepted_vote() {
    // SQLite restarts its log after 1000 pages, and then its length says nothing.
    const MAX_LOG_LENGTH: u64 = 1000 * 4096;
    let library = or_skip!(power::library()).display().to_string();
    let storage = or_skip!(Storage::new(Backend::Embedded).await);
    let log = storage.folder.path().join("voting.db-wal");
    let preload = [("LD_PRELOAD", &*library)];
    let start = async || {
        [
            start_ready("vote", &storage, &preload).await,
            start_ready("worker", &storage, &preload).await,
            start_ready("result", &storage, &preload).await,
        ]
    };
    let mut random = SmallRng::seed_from_u64(rand::random());
    let mut services = start().await;
    for _ in 0..8 {
        let observer = new_observer(&services[2], &storage).await;
        let before = observer.observe_baseline().await.unwrap();
        drop(observer);
        let config = voters_at(&services[0].url, Some(400.0));
        let stop = CancellationToken::new();
        let voting = {
            let stop = stop.clone();
            tokio::spawn(async move { Load::run(&config, stop).await })
        };
        let length = log.metadata().unwrap().len();
        let grown = async || log.metadata().unwrap().len() - length;
        eventually("a longer log", |grown| *grown > 100_000, grown).await;
        drop(services);
        stop.cancel();
        let load = voting.await.unwrap().unwrap();
        let length = log.metadata().unwrap().len();
        assert!(length < MAX_LOG_LENGTH, "{length}");
        println!(
            "{} bytes were not synced",
            power::truncate_unsynced(&log, &mut random)
        );
        services = start().await;
        let observer = new_observer(&services[2], &storage).await;
        let verdict = observer.settle(&load.history, &before, TIMEOUT).await;
        assert_eq!(verdict.unwrap().violations, []);
        // Unacknowledged ballots of the stopped worker are claimed now, so that they do not count among the next votes.
        wait_until_empty(&storage).await;
    }
}

async fn new_observer(result: &Service, storage: &Storage) -> Observer {
    let store = storage.store_config();
    let observer = Observer::new(result.url.parse().unwrap(), Some(&store)).await;
    observer.unwrap()
}

/// Enough voters that hardly any has voted again at a power loss.
fn voters_at(vote: &str, rate: Option<f64>) -> LoadConfig {
    LoadConfig {
        vote: vec![vote.parse().unwrap()],
        voters: 20_000,
        connections: 32,
        plan: Plan {
            rate,
            ..Plan::default()
        },
        seed: rand::random(),
        request_timeout: Duration::from_secs(5),
    }
}
