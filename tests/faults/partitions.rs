//! Network partitions between a service and its server, and the recovery.

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

/// Few connections to Postgres. Each fault lasts until this many attempts have failed, so that the pool would be exhausted
/// if failed connections were not closed.
const FEW_CONNECTIONS: [(&str, &str); 3] = [PROMPT[0], PROMPT[1], ("STORE_MAX_CONNECTIONS", "3")];

async fn wait_until_pool_would_be_exhausted(service: &Service) {
    wait_for_probes(service, "store", 5).await;
}

/// Waits until the service has probed a dependency this many times.
pub async fn wait_for_probes(service: &Service, dependency: &str, times: usize) {
    let probes = RefCell::new(HashSet::new());
    let count = async || {
        let metrics = get(&format!("{}/metrics", service.url)).await;
        let metrics = metrics.text().await.unwrap_or_default();
        let name = format!("dependency_probe_timestamp_seconds{{dependency=\"{dependency}\"}}");
        let probe = metrics.lines().find(|line| line.starts_with(&name));
        let mut probes = probes.borrow_mut();
        probes.extend(probe.map(str::to_owned));
        probes.len()
    };
    eventually("attempts", |count| *count >= times, count).await;
}

/// Ends the fault: in odd rounds the delayed data arrives, in even rounds the old connections stay silent.
fn end_fault(proxy: &Proxy, round: usize) {
    if round.is_multiple_of(2) {
        proxy.mend_for_new_connections();
    } else {
        proxy.make(Network::Good);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_recovers_from_a_partition_from_redis() {
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
        assert_eq!(
            page.status,
            StatusCode::OK,
            "{fault:?}: the page is available"
        );
        if round < 2 {
            until_unready_because(&vote, &["no answer within"]).await;
        }
        end_fault(&proxy, round + round / FAULTS.len());
    }
    crowd.accepts(40).await;
    until_ready(&vote.url).await;
    let counts = crowd.go_home().await;
    println!("latency of the slowest 503: {:?}", counts.slowest_refusal());
    assert_eq!((counts.broken(), counts.impolite()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_are_rejected_while_redis_is_slow() {
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
async fn worker_recovers_from_a_partition_from_redis() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let direct = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.queue_url = url;
    let worker = start_ready("worker", &storage, &PROMPT).await;
    storage.queue_url = direct;
    assert_worker_recovers(&storage, &worker, &proxy, "\"queue\":\"the queue").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_recovers_from_a_partition_from_postgres() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let direct = storage.database_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.database_url = url;
    let worker = start_ready("worker", &storage, &FEW_CONNECTIONS).await;
    storage.database_url = direct;
    assert_worker_recovers(&storage, &worker, &proxy, "\"store\":\"Postgres at").await;
}

/// Votes are accepted while a worker is partitioned, and all of them are counted afterwards.
async fn assert_worker_recovers(storage: &Storage, worker: &Service, proxy: &Proxy, reason: &str) {
    // Default timeouts, because their own servers have no fault.
    let vote = start_ready("vote", storage, &[]).await;
    let result = start_ready("result", storage, &[]).await;
    let total = async || tally(&result.url).await["total"].as_u64().unwrap_or(0);
    let crowd = Crowd::gather(&vote.url, 4);
    for (round, fault) in FAULTS.into_iter().enumerate() {
        let wanted = total().await + 20;
        eventually("counted votes", |total| *total > wanted, total).await;
        proxy.make(fault);
        until_unready_because(worker, &[reason]).await;
        wait_until_pool_would_be_exhausted(worker).await;
        crowd.accepts(20).await;
        end_fault(proxy, round);
        until_ready(&worker.url).await;
    }
    let counts = crowd.go_home().await;
    assert_eq!((counts.refused(), counts.broken()), (0, 0), "no vote fails");
    assert_nothing_is_lost_or_doubled(storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_recovers_from_a_partition_from_postgres() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    storage.database_url = url;
    let result = start_ready("result", &storage, &FEW_CONNECTIONS).await;
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
        wait_until_pool_would_be_exhausted(&result).await;
        let (ready, _) = get_json(&format!("{}/ready", result.url)).await;
        assert_eq!(ready, StatusCode::OK, "the result stays ready");
        end_fault(&proxy, usize::try_from(votes).unwrap());
        viewer.until_votes(&[votes, 0]).await;
    }
    until_votes(&result.url, &[4, 0]).await;
}

/// The network loses the worker while it has locked the tally, and Postgres is not notified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_lost_in_a_transaction_does_not_block_others() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let store = storage.store().await;
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    let through_proxy = StoreConfig {
        url: url.parse().unwrap(),
        timeout: Duration::from_secs(5),
        ..storage.store_config()
    };
    let lost = Store::open(&through_proxy).await.unwrap();
    let mut blocker = PgConnection::connect(&storage.database_url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE")
        .execute(&mut blocker)
        .await
        .unwrap();
    let voter = VoterId::random();
    let ballot = [cast(voter, "a", 1, 0)];
    let applying =
        tokio::spawn(async move { lost.upsert_ballots(&ballot, &[dead(2, "poison")]).await });
    let waits = "SELECT 'waits', count(*) FROM pg_locks
                 WHERE NOT granted AND relation = 'dead_letters'::regclass";
    let waiting = async || storage.rows(waits).await[0].1;
    eventually("a blocked transaction", |waiting| *waiting == 1, waiting).await;
    proxy.make(Network::BlackHole);
    blocker.close().await.unwrap();
    applying.await.unwrap().unwrap_err();
    proxy.mend_for_new_connections();

    let newer = [cast(voter, "b", 3, 0)];
    let stored = timeout(PATIENCE, store.upsert_ballots(&newer, &[])).await;
    assert_eq!(stored.expect("nothing is locked").unwrap().applied, 1);
}

/// A connection takes several round trips of two seconds each, which is more than the shortest timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_postgres_gets_the_configured_timeout() {
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
