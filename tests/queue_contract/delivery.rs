//! Entries that are delivered, claimed and acknowledged.

use std::time::Duration;

use super::{NO_MIN_IDLE, enqueue, ids, read};
use crate::harness::{
    redis,
    storage::{READ_TIMEOUT, Storage, known_polls, on_all_storages},
};

on_all_storages! {
    a_ballot_is_delivered_to_one_consumer_only,
    entries_of_a_dead_consumer_are_claimed,
    entries_of_a_live_consumer_are_not_claimed,
    acknowledged_ballots_are_removed_and_the_others_stay,
    removing_a_consumer_loses_no_ballots,
    invalid_entries_are_delivered_and_can_be_acknowledged,
    an_empty_queue_returns_nothing,
}

async fn a_ballot_is_delivered_to_one_consumer_only(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 10).await;
    let (mut consumer_a, mut consumer_b) = (queue.consumer("a"), queue.consumer("b"));
    let mut got = ids(&read(&mut consumer_a, 4).await);
    assert_eq!(got.len(), 4, "at most the requested number");
    got.extend(ids(&read(&mut consumer_b, 100).await));
    assert_eq!(got, sent);
    assert_eq!(consumer_a.read(100, READ_TIMEOUT).await.unwrap(), []);
}

async fn entries_of_a_dead_consumer_are_claimed(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 3).await;
    let mut dead = queue.consumer("dead");
    let pending = read(&mut dead, 100).await;
    dead.acknowledge(&sent[..1]).await.unwrap();
    drop(dead);
    let mut consumer_b = queue.consumer("b");
    let claimed = consumer_b.claim(100, NO_MIN_IDLE).await.unwrap();
    assert_eq!(
        claimed.entries,
        pending[1..],
        "acknowledged entries are not claimed"
    );
    assert_eq!(claimed.deleted, []);
    consumer_b.acknowledge(&sent).await.unwrap();
    assert_eq!(
        queue
            .consumer("third")
            .claim(100, NO_MIN_IDLE)
            .await
            .unwrap()
            .entries,
        []
    );
}

async fn entries_of_a_live_consumer_are_not_claimed(storage: Storage) {
    let queue = storage.queue().await;
    enqueue(&queue, 3).await;
    read(&mut queue.consumer("alive"), 100).await;
    let claimed = queue
        .consumer("b")
        .claim(100, Duration::from_hours(1))
        .await
        .unwrap();
    assert_eq!(claimed.entries, []);
}

async fn acknowledged_ballots_are_removed_and_the_others_stay(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 6).await;
    let mut consumer = queue.consumer("reader");
    read(&mut consumer, 5).await;
    // The oldest entry stays pending, so neither it nor newer entries may be trimmed.
    consumer.acknowledge(&sent[1..5]).await.unwrap();
    consumer.trim().await.unwrap();
    let still_pending = queue
        .consumer("other")
        .claim(100, NO_MIN_IDLE)
        .await
        .unwrap();
    assert_eq!(ids(&still_pending.entries), sent[..1]);
    assert_eq!(
        still_pending.entries[0].parse(&known_polls()).unwrap().id,
        sent[0],
        "its content is still there"
    );
    assert_eq!(ids(&read(&mut consumer, 100).await), sent[5..]);
    consumer.acknowledge(&sent).await.unwrap();
    let backlog = consumer.trim().await.unwrap();
    assert_eq!((backlog.pending, backlog.lag, backlog.oldest), (0, 0, None));
    if storage.queue_url.starts_with("redis") {
        assert_eq!(
            redis::shared().unwrap().length(&storage.stream),
            0,
            "the stream is trimmed"
        );
    }
}

async fn removing_a_consumer_loses_no_ballots(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 2).await;
    let mut consumer_a = queue.consumer("a");
    read(&mut consumer_a, 1).await;
    consumer_a.remove_consumer().await.unwrap();
    let mut consumer_b = queue.consumer("b");
    assert_eq!(
        ids(&consumer_b.claim(100, NO_MIN_IDLE).await.unwrap().entries),
        sent[..1]
    );
    assert_eq!(ids(&read(&mut consumer_b, 100).await), sent[1..]);
    consumer_b.acknowledge(&sent).await.unwrap();
    consumer_b.remove_consumer().await.unwrap();
}

async fn invalid_entries_are_delivered_and_can_be_acknowledged(storage: Storage) {
    let queue = storage.queue().await;
    enqueue(&queue, 1).await;
    storage
        .enqueue_raw(&[("voter", "invalid"), ("choice", &"x".repeat(300))])
        .await;
    storage.enqueue_raw(&[("something", "else\0")]).await;
    let mut consumer = queue.consumer("reader");
    let mut deliveries = Vec::new();
    while deliveries.len() < 3 {
        deliveries.extend(read(&mut consumer, 100).await);
    }
    let is_valid: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.parse(&known_polls()).is_ok())
        .collect();
    assert_eq!(is_valid, [true, false, false]);
    consumer.acknowledge(&ids(&deliveries)).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().pending, 0);
}

async fn an_empty_queue_returns_nothing(storage: Storage) {
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    assert_eq!(
        consumer.read(10, Duration::from_millis(1)).await.unwrap(),
        []
    );
    assert_eq!(consumer.claim(10, NO_MIN_IDLE).await.unwrap().entries, []);
    consumer.acknowledge(&[]).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().oldest, None);
}
