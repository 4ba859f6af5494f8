//! The disk under the queue is full. A limit on the size of its files stands for it: to Redis both are a write that fails.

use super::{PROMPT, assert_nothing_is_lost_or_doubled, start_ready, until_unready_because};
use crate::harness::{
    crowd::Crowd,
    redis,
    skip::or_skip,
    storage::{Kind, Storage},
};

/// With `appendfsync always` Redis takes nothing back that it has answered, so it ends instead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_redis_and_costs_no_accepted_vote() {
    let redis = or_skip!(redis::without_room());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let _worker = start_ready("worker", &storage, &PROMPT).await;
    let crowd = Crowd::gather(&vote.url, 10);
    redis.server.wait();
    crowd.is_refused(20).await;

    redis.make_room();
    redis.server.start();
    redis.wait_until_ready().unwrap();
    crowd.accepts(300).await;
    let counts = crowd.go_home().await;
    assert_eq!((counts.broken(), counts.impolite()), (0, 0));
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

/// With less it goes on, and refuses writes until there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_503_where_redis_syncs_every_second() {
    let redis = or_skip!(redis::without_room());
    redis.set("appendfsync", "everysec");
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let crowd = Crowd::gather(&vote.url, 10);
    crowd.is_refused(20).await;
    until_unready_because(&vote, &["MISCONF"]).await;
    let counts = crowd.go_home().await;
    assert_eq!((counts.broken(), counts.impolite()), (0, 0));
}
