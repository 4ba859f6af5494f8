//! The power goes: whatever was not synced may be gone, from any byte on. What was accepted was synced before.

use std::time::Duration;

use load::{Load, LoadConfig, Observer, check::Violation, schedule::Plan};
use rand::{SeedableRng, rngs::SmallRng};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use super::{PROMPT, start_ready, until_empty, until_ready};
use crate::harness::{
    PATIENCE, eventually, power,
    process::Service,
    redis::{self, RedisServer},
    skip::or_skip,
    storage::{Kind, Storage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_every_accepted_vote() {
    let redis = or_skip!(redis::powered());
    let violations = or_skip!(cut_the_power_of(&redis, 5, PATIENCE).await);
    assert_eq!(violations, []);
}

/// The test above can fail: where Redis answers before it syncs, it loses what it has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_syncs_every_second_is_found_out() {
    let redis = or_skip!(redis::powered());
    for _ in 0..10 {
        redis.set("appendfsync", "everysec");
        let violations = or_skip!(cut_the_power_of(&redis, 1, Duration::from_secs(5)).await);
        if violations
            .iter()
            .any(|violation| matches!(violation.rule(), "lost" | "outdated"))
        {
            return;
        }
    }
    panic!("no vote was lost, though not all were synced");
}

/// Again and again while voters vote, the last time at their end. Returns what is wrong then.
async fn cut_the_power_of(
    redis: &RedisServer,
    times: usize,
    patience: Duration,
) -> Result<Vec<Violation>, String> {
    let mut storage = Storage::new(Kind::Servers).await?;
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let result = start_ready("result", &storage, &PROMPT).await;
    let store = storage.store_config();
    let watch = Observer::new(result.url.parse().unwrap(), Some(&store)).await;
    let watch = watch.unwrap();
    let worker = start_ready("worker", &storage, &PROMPT).await;
    let before = watch.observe_baseline().await.unwrap();
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
        let at_stake = block_in_place(|| redis.cut_power(&mut random));
        println!("{at_stake} bytes were at stake");
        if time == times {
            stop.cancel();
        }
        block_in_place(|| redis.server.start());
        redis.wait_until_ready()?;
        until_ready(&vote.url).await;
    }
    let load = voting.await.unwrap().unwrap();
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    until_empty(&storage).await;
    let verdict = watch.settle(&load.history, &before, patience).await;
    Ok(verdict.unwrap().violations)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_storage_keeps_every_accepted_vote() {
    // SQLite begins its log anew beyond 1000 pages, and then its length says nothing.
    const LONGEST_LOG: u64 = 1000 * 4096;
    let library = or_skip!(power::library()).display().to_string();
    let storage = or_skip!(Storage::new(Kind::Embedded).await);
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
        let watch = watch(&services[2], &storage).await;
        let before = watch.observe_baseline().await.unwrap();
        drop(watch);
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
        assert!(length < LONGEST_LOG, "{length}");
        println!("{} bytes were at stake", power::cut(&log, &mut random));
        services = start().await;
        let watch = self::watch(&services[2], &storage).await;
        let verdict = watch.settle(&load.history, &before, PATIENCE).await;
        assert_eq!(verdict.unwrap().violations, []);
        // What a worker held whose power went, and no voter was told of, is taken over later: not among the next votes.
        until_empty(&storage).await;
    }
}

async fn watch(result: &Service, storage: &Storage) -> Observer {
    let store = storage.store_config();
    let watch = Observer::new(result.url.parse().unwrap(), Some(&store)).await;
    watch.unwrap()
}

/// Many voters, so that hardly one has voted again when the power goes.
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
