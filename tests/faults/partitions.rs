//! Network partitions between a service and its server, and the recovery.

use std::{cell::RefCell, collections::HashSet, time::Duration};

use poll::ballot::VoterId;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use store::{Store, StoreConfig};
use tokio::time::timeout;

use super::{
    SHORT_TIMEOUTS, assert_no_vote_lost_or_duplicated, start_ready, wait_until_ready,
    wait_until_unready,
};
use crate::{
    harness::{
        TIMEOUT,
        client_pool::ClientPool,
        eventually,
        process::Service,
        proxy::{Proxy, Toxic},
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::{Viewer, get, get_json, tally, wait_for_votes},
        voter::Voter,
    },
    store_contract::{cast, dead},
};

const FAULTS: [Toxic; 4] = [
    Toxic::Timeout,
    Toxic::TimeoutUpstream,
    Toxic::TimeoutDownstream,
    Toxic::ResetPeer,
];

/// Few connections to Postgres. Each fault lasts until this many attempts have failed, so that the pool would be exhausted
/// if failed connections were not closed.
const FEW_CONNECTIONS: [(&str, &str); 3] = [
    SHORT_TIMEOUTS[0],
    SHORT_TIMEOUTS[1],
    ("STORE_MAX_CONNECTIONS", "3"),
];

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
        proxy.clear_toxic_for_new_connections();
    } else {
        proxy.set_toxic(Toxic::None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_recovers_from_a_partition_from_redis() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let direct = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    storage.queue_url = direct;
    let clients = ClientPool::start(&vote.url, 20);
    for (round, fault) in FAULTS.into_iter().chain(FAULTS).enumerate() {
        clients.wait_for_accepted(40).await;
        proxy.set_toxic(fault);
        clients.wait_for_rejected(40).await;
        let page = Voter::new(&vote.url).get_page().await;
        assert_eq!(
            page.status,
            StatusCode::OK,
            "{fault:?}: the page is available"
        );
        if round < 2 {
            wait_until_unready(&vote, &["no reply within"]).await;
        }
        end_fault(&proxy, round + round / FAULTS.len());
    }
    clients.wait_for_accepted(40).await;
    wait_until_ready(&vote.url).await;
    let counts = clients.stop().await;
    println!(
        "latency of the slowest 503: {:?}",
        counts.slowest_rejection()
    );
    assert_eq!((counts.failed(), counts.without_retry_after()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_are_rejected_while_redis_is_slow() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let voter = Voter::new(&vote.url);
    proxy.set_toxic(Toxic::Latency(Duration::from_millis(50)));
    voter.must_vote_for("a").await;
    proxy.set_toxic(Toxic::Latency(Duration::from_secs(5)));
    let page = voter.vote_for("b").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    proxy.set_toxic(Toxic::None);
    let status = async || voter.vote_for("b").await.status;
    eventually("a vote", |status| *status == StatusCode::OK, status).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_recovers_from_a_partition_from_redis() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let direct = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&direct).await;
    storage.queue_url = url;
    let worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    storage.queue_url = direct;
    assert_worker_recovers(&storage, &worker, &proxy, "\"queue\":\"the queue").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_recovers_from_a_partition_from_postgres() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
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
    let clients = ClientPool::start(&vote.url, 4);
    for (round, fault) in FAULTS.into_iter().enumerate() {
        let wanted = total().await + 20;
        eventually("counted votes", |total| *total > wanted, total).await;
        proxy.set_toxic(fault);
        wait_until_unready(worker, &[reason]).await;
        wait_until_pool_would_be_exhausted(worker).await;
        clients.wait_for_accepted(20).await;
        end_fault(proxy, round);
        wait_until_ready(&worker.url).await;
    }
    let counts = clients.stop().await;
    assert_eq!(
        (counts.rejected(), counts.failed()),
        (0, 0),
        "no vote fails"
    );
    assert_no_vote_lost_or_duplicated(storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_recovers_from_a_partition_from_postgres() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    storage.database_url = url;
    let result = start_ready("result", &storage, &FEW_CONNECTIONS).await;
    let mut viewer = Viewer::open(&result.url, None).await;
    for (votes, fault) in (1_u64..).zip(FAULTS) {
        proxy.set_toxic(fault);
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
        viewer.wait_for_votes(&[votes, 0]).await;
    }
    wait_for_votes(&result.url, &[4, 0]).await;
}

/// The network loses the worker while it has locked the tally, and Postgres is not notified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_lost_in_a_transaction_does_not_block_others() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
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
    proxy.set_toxic(Toxic::Timeout);
    blocker.close().await.unwrap();
    applying.await.unwrap().unwrap_err();
    proxy.clear_toxic_for_new_connections();

    let newer = [cast(voter, "b", 3, 0)];
    let stored = timeout(TIMEOUT, store.upsert_ballots(&newer, &[])).await;
    assert_eq!(stored.expect("nothing is locked").unwrap().applied, 1);
}

/// A connection takes several round trips of two seconds each, which is more than the shortest timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_postgres_gets_the_configured_timeout() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    drop(storage.store().await);
    let (proxy, url) = Proxy::to(&storage.database_url).await;
    storage.database_url = url;
    proxy.set_toxic(Toxic::Latency(Duration::from_secs(1)));
    let store = Store::open(&storage.store_config()).await.unwrap();
    let ballot = [cast(VoterId::random(), "a", 1, 0)];
    let stored = store.upsert_ballots(&ballot, &[]).await;
    assert_eq!(stored.unwrap().applied, 1);
}
