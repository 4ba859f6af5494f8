//! Faults that only Redis can have.

use queue::{Durability, QueueError};

use super::{NO_MIN_IDLE, ballot, enqueue, ids, read};
use crate::harness::{
    eventually, redis,
    skip::or_skip,
    storage::{Backend, READ_TIMEOUT, Storage},
};

// Faults that only Redis can have.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_consumer_group_is_recreated_from_the_first_entry() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 3).await;
    let mut consumer = queue.consumer("reader");
    read(&mut consumer, 2).await;
    let mut destroy = ::redis::cmd("XGROUP");
    destroy
        .arg("DESTROY")
        .arg(&storage.stream)
        .arg("workers")
        .exec(&mut redis::shared().unwrap().connect())
        .unwrap();
    let again = ids(&read(&mut consumer, 100).await);
    assert_eq!(
        again, sent,
        "no entry that may not have been stored is skipped"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_removed_while_pending_are_reported_as_lost() {
    for kind in [Backend::Servers, Backend::Cluster] {
        let storage = or_skip!(Storage::new(kind).await);
        let queue = storage.queue().await;
        let sent = enqueue(&queue, 2).await;
        read(&mut queue.consumer("dead"), 100).await;
        let mut remove_first = ::redis::cmd("XTRIM");
        remove_first.arg(queue.name()).arg("MAXLEN").arg("=").arg(1);
        storage.exec_on_owner_node(&remove_first);
        let claimed = queue.consumer("b").claim(100, NO_MIN_IDLE).await.unwrap();
        assert_eq!(claimed.deleted, sent[..1]);
        assert_eq!(ids(&claimed.entries), sent[1..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_removed_before_delivery_are_not_in_the_backlog() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    let sent = enqueue(&queue, 1).await;
    read(&mut consumer, 100).await;
    let removed = enqueue(&queue, 1).await;
    let mut remove = ::redis::cmd("XDEL");
    remove.arg(queue.name()).arg(removed[0].to_string());
    storage.exec_on_owner_node(&remove);
    consumer.acknowledge(&sent).await.unwrap();
    consumer.trim().await.unwrap();
    assert!(consumer.backlog().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn degraded_durability_and_rejected_writes_are_detected() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url.clone_from(&redis.url);
    let queue = storage.queue().await;
    assert_eq!(queue.durability().await.unwrap(), Durability::Full);

    redis.set("appendfsync", "everysec");
    let degraded = queue.durability().await.unwrap();
    assert_eq!(
        degraded,
        Durability::Degraded("appendfsync is everysec and should be always".into())
    );
    redis.set("maxmemory-policy", "allkeys-lru");
    redis.set("appendfsync", "always");
    let degraded = queue.durability().await.unwrap();
    assert_eq!(
        degraded,
        Durability::Degraded("maxmemory-policy is allkeys-lru and should be noeviction".into())
    );
    redis.set("maxmemory-policy", "noeviction");

    // Redis still replies to PING, but rejects writes.
    redis.set("maxmemory", "1");
    for rejected in [
        queue.check_write().await,
        queue.enqueue(&ballot("a")).await.map(drop),
    ] {
        assert!(
            matches!(&rejected, Err(QueueError::Rejected(reason)) if reason.contains("OOM")),
            "{rejected:?}"
        );
    }
    redis.set("maxmemory", "0");
    queue.enqueue(&ballot("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_ballots_survive_a_restart_of_redis() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url.clone_from(&redis.url);
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 50).await;
    let mut consumer = queue.consumer("reader");
    let mut got = ids(&read(&mut consumer, 10).await);
    redis.restart();
    eventually(
        "a reply",
        |up| *up,
        async || queue.check_write().await.is_ok(),
    )
    .await;
    while got.len() < sent.len() {
        // The connection broke, so the first read fails.
        got.extend(
            consumer
                .read(100, READ_TIMEOUT)
                .await
                .map_or_else(|_| Vec::new(), |deliveries| ids(&deliveries)),
        );
    }
    assert_eq!(got, sent);
}
