//! The network between a service and its server breaks, and is mended.

use std::{cell::RefCell, collections::HashSet, time::Duration};

use poll::ballot::VoterId;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use store::{Store, StoreConfig};
use tokio::time::timeout;

use super::{
    PROMPT, assert_nothing_is_lost_or_doubled, start_ready, until_ready, until_unready_because,
};
use crate::{
    harness::{
        PATIENCE,
        crowd::Crowd,
        eventually,
        process::Service,
        proxy::{Network, Proxy},
        skip::or_skip,
        storage::{Kind, Storage},
        viewer::{Viewer, get, get_json, tally, until_votes},
        voter::Voter,
    },
    store_contract::{cast, dead},
};

const FAULTS: [Network; 4] = [
    Network::BlackHole,
    Network::NoRequests,
    Network::NoAnswers,
    Network::Reset,
];

/// Few connections to Postgres: a fault lasts until as many attempts have failed, so that none is left where one that
/// failed is not closed.
const FEW: [(&str, &str); 3] = [PROMPT[0], PROMPT[1], ("STORE_MAX_CONNECTIONS", "3")];

async fn until_none_would_be_left(service: &Service) {
    until_probes(service, "store", 5).await;
}

/// Waits until the service has probed what it depends on so many times.
pub async fn until_probes(service: &Service, dependency: &str, times: usize) {
    let probes = RefCell::new(HashSet::new());
    let seen = async || {
        let metrics = get(&format!("{}/metrics", service.url)).await;
        let metrics = metrics.text().await.unwrap_or_default();
        let name = format!("dependency_probe_timestamp_seconds{{dependency=\"{dependency}\"}}");
        let probe = metrics.lines().find(|line| line.starts_with(&name));
        let mut probes = probes.borrow_mut();
        probes.extend(probe.map(str::to_owned));
        probes.len()
    };
    eventually("attempts", |seen| *seen >= times, seen).await;
}

/// Either what was sent arrives after all, or the connections of before are dead without anybody saying so.
fn mend(proxy: &Proxy, round: usize) {
    if round.is_multiple_of(2) {
        proxy.mend_for_new_connections();
    } else {
        proxy.make(Network::Good);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_and_redis() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let direct = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &PROMPT).await;
    storage.queue_url = direct;
    let crowd = Crowd::gather(&vote.url, 20);
    for (round, fault) in FAULTS.into_iter().chain(FAULTS).enumerate() {
        crowd.accepts(40).await;
        proxy.make(fault);
        crowd.is_refused(40).await;
        let page = Voter::new(&vote.url).look().await;
        assert_eq!(page.status, StatusCode::OK, "{fault:?}: the page is there");
        if round < 2 {
            until_unready_because(&vote, &["no answer within"]).await;
        }
        mend(&proxy, round + round / FAULTS.len());
    }
    crowd.accepts(40).await;
    until_ready(&vote.url).await;
    let counts = crowd.go_home().await;
    println!("the slowest 503 took {:?}", counts.slowest_refusal());
    assert_eq!((counts.broken(), counts.impolite()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_and_a_slow_redis() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let voter = Voter::new(&vote.url);
    proxy.make(Network::Slow(Duration::from_millis(50)));
    voter.must_vote_for("a").await;
    proxy.make(Network::Slow(Duration::from_secs(5)));
    let page = voter.vote_for("b").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    proxy.make(Network::Good);
    let status = async || voter.vote_for("b").await.status;
    eventually("a vote", |status| *status == StatusCode::OK, status).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_and_redis() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let direct = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.queue_url = url;
    let worker = start_ready("worker", &storage, &PROMPT).await;
    storage.queue_url = direct;
    worker_heals(&storage, &worker, &proxy, "\"queue\":\"the queue").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_and_postgres() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let direct = storage.database_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.database_url = url;
    let worker = start_ready("worker", &storage, &FEW).await;
    storage.database_url = direct;
    worker_heals(&storage, &worker, &proxy, "\"store\":\"Postgres at").await;
}

/// Voting goes on while a worker is cut off, and all of it is counted afterwards.
async fn worker_heals(storage: &Storage, worker: &Service, proxy: &Proxy, cut_off: &str) {
    // Nothing is wrong with their own servers, however busy the machine is.
    let vote = start_ready("vote", storage, &[]).await;
    let result = start_ready("result", storage, &[]).await;
    let total = async || tally(&result.url).await["total"].as_u64().unwrap_or(0);
    let crowd = Crowd::gather(&vote.url, 4);
    for (round, fault) in FAULTS.into_iter().enumerate() {
        let moving = total().await + 20;
        eventually("counted votes", |total| *total > moving, total).await;
        proxy.make(fault);
        until_unready_because(worker, &[cut_off]).await;
        until_none_would_be_left(worker).await;
        crowd.accepts(20).await;
        mend(proxy, round);
        until_ready(&worker.url).await;
    }
    let counts = crowd.go_home().await;
    assert_eq!(
        (counts.refused(), counts.broken()),
        (0, 0),
        "voters notice nothing"
    );
    assert_nothing_is_lost_or_doubled(storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_and_postgres() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    storage.database_url = url;
    let result = start_ready("result", &storage, &FEW).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    for (votes, fault) in (1_u64..).zip(FAULTS) {
        proxy.make(fault);
        Voter::new(&vote.url).must_vote_for("a").await;
        let is_stale = |tally: &Value| tally["stale"] == true;
        let stale = eventually("a stale result", is_stale, async || {
            tally(&result.url).await
        })
        .await;
        assert_eq!(stale["total"], votes - 1, "the last tally is still shown");
        until_none_would_be_left(&result).await;
        let (ready, _) = get_json(&format!("{}/ready", result.url)).await;
        assert_eq!(ready, StatusCode::OK, "viewers are not turned away");
        mend(&proxy, usize::try_from(votes).unwrap());
        viewer.until_votes(&[votes, 0]).await;
    }
    until_votes(&result.url, &[4, 0]).await;
}

/// The network loses it when it holds the counts, and nobody tells Postgres.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_vanished_in_a_transaction_locks_nobody_out() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let store = storage.store().await;
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    let along_the_proxy = StoreConfig {
        url: url.parse().unwrap(),
        timeout: Duration::from_secs(5),
        ..storage.store_config()
    };
    let lost = Store::open(&along_the_proxy).await.unwrap();
    let mut gate = PgConnection::connect(&storage.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
        .execute(&mut gate)
        .await
        .unwrap();
    let voter = VoterId::random();
    let ballot = [cast(voter, "a", 1, 0)];
    let applying =
        tokio::spawn(async move { lost.upsert_ballots(&ballot, &[dead(2, "poison")]).await });
    let waits = "SELECT 'waits', count(*) FROM pg_locks
                 WHERE NOT granted AND relation = 'dead_letters'::regclass";
    let waiting = async || storage.rows(waits).await[0].1;
    eventually(
        "a transaction at the gate",
        |waiting| *waiting == 1,
        waiting,
    )
    .await;
    proxy.make(Network::BlackHole);
    gate.close().await.unwrap();
    applying.await.unwrap().unwrap_err();
    proxy.mend_for_new_connections();

    let newer = [cast(voter, "b", 3, 0)];
    let stored = timeout(PATIENCE, store.upsert_ballots(&newer, &[])).await;
    assert_eq!(stored.expect("nothing is locked").unwrap().applied, 1);
}

/// To connect takes several round trips, of two seconds each here, which is more than the least time limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_postgres_has_the_time_that_is_set() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    drop(storage.store().await);
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    storage.database_url = url;
    proxy.make(Network::Slow(Duration::from_secs(1)));
    let store = Store::open(&storage.store_config()).await.unwrap();
    let ballot = [cast(VoterId::random(), "a", 1, 0)];
    let stored = store.upsert_ballots(&ballot, &[]).await;
    assert_eq!(stored.unwrap().applied, 1);
}
