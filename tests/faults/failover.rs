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

/// As managed services do it: the name leads to the new master, the old one keeps its clients and refuses their writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_became_a_replica_is_left() {
    let (old, new) = (or_skip!(redis::own()), or_skip!(redis::own()));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let (name, url) = Proxy::to(&old.url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let crowd = Crowd::gather(&vote.url, 10);
    crowd.accepts(50).await;

    // It is made a replica of nobody that answers, so that it keeps what it has.
    ::redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(1)
        .exec(&mut old.connect())
        .unwrap();
    crowd.is_refused(20).await;
    name.lead_to(&new.url);
    crowd.accepts(50).await;
    let counted_so_far = async || storage.counted().await;
    let before = counted_so_far().await;
    eventually("the worker there", |votes| *votes != before, counted_so_far).await;

    // What only the old one had is not lost while it still has it.
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
