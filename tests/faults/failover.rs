//! The queue's master becomes a replica while services are connected to it.

use super::{PROMPT, assert_nothing_is_lost_or_doubled, start_ready, until_empty};
use crate::harness::{
    crowd::Crowd,
    eventually,
    proxy::Proxy,
    redis,
    skip::or_skip,
    storage::{Kind, Storage},
};

/// A failover as in managed services: the name resolves to the new master, and the old one keeps its connections and
/// rejects writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_reconnect_when_the_master_becomes_a_replica() {
    let (old, new) = (or_skip!(redis::own()), or_skip!(redis::own()));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let (proxy, url) = Proxy::to(&old.url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let crowd = Crowd::gather(&vote.url, 10);
    crowd.accepts(50).await;

    // Its new master does not exist, so it keeps its data.
    ::redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .exec(&mut old.connect())
        .unwrap();
    crowd.is_refused(20).await;
    proxy.lead_to(&new.url);
    crowd.accepts(50).await;
    let counted_so_far = async || storage.counted().await;
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
    let counts = crowd.go_home().await;
    storage.queue_url.clone_from(&old.url);
    let _second = start_ready("worker", &storage, &PROMPT).await;
    until_empty(&storage).await;
    storage.queue_url.clone_from(&new.url);
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}
