//! The queue's master becomes a replica while services are connected to it.

use super::{SHORT_TIMEOUTS, assert_no_vote_lost_or_duplicated, start_ready, wait_until_empty};
use crate::harness::{
    client_pool::ClientPool,
    eventually,
    proxy::Proxy,
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
};

/// A failover as in managed services: the name resolves to the new master, and the old one keeps its connections and
/// rejects writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_reconnect_when_the_master_becomes_a_replica() {
    let (old, new) = (or_skip!(redis::dedicated()), or_skip!(redis::dedicated()));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let (proxy, url) = Proxy::to(&old.url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let clients = ClientPool::start(&vote.url, 10);
    clients.wait_for_accepted(50).await;

    // Its new master does not exist, so it keeps its data.
    ::redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .exec(&mut old.connect())
        .unwrap();
    clients.wait_for_rejected(20).await;
    proxy.set_upstream(&new.url);
    clients.wait_for_accepted(50).await;
    let counted_so_far = async || storage.count_votes().await;
    let before = counted_so_far().await;
    eventually(
        "votes counted from the new master",
        |votes| *votes != before,
        counted_so_far,
    )
    .await;

    // Ballots that only the old master has are not lost as long as it has them.
    ::redis::cmd("REPLICAOF")
        .arg("NO")
        .arg("ONE")
        .exec(&mut old.connect())
        .unwrap();
    let counts = clients.stop().await;
    storage.queue_url.clone_from(&old.url);
    let _second = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    wait_until_empty(&storage).await;
    storage.queue_url.clone_from(&new.url);
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}
