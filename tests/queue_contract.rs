//! The contract of all queue backends. In a cluster, the tested stream is on one of three shards, not on the node that
//! the URL names.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use poll::ballot::{Ballot, BallotId, Traceparent, VoterId};
use queue::{Consumer, Durability, Queue, QueueError, StreamEntry};
use tokio::time::timeout;

use crate::harness::{
    TIMEOUT, eventually, redis,
    skip::or_skip,
    storage::{Backend, READ_TIMEOUT, Storage, on_all_storages, poll},
};

on_all_storages! {
    a_ballot_is_read_as_it_was_enqueued,
    ids_increase_and_never_repeat,
    every_ballot_of_a_batch_gets_its_own_id,
    concurrent_enqueues_return_the_ids_of_their_own_ballots,
    a_ballot_is_delivered_to_one_consumer_only,
    entries_of_a_dead_consumer_are_claimed,
    entries_of_a_live_consumer_are_not_claimed,
    acknowledged_ballots_are_removed_and_the_others_stay,
    the_backlog_is_reported,
    the_backlog_is_reported_before_the_first_worker_starts,
    the_last_id_is_reported,
    removing_a_consumer_loses_no_ballots,
    enqueued_ballots_outlive_the_connection,
    invalid_entries_are_delivered_and_can_be_acknowledged,
    an_empty_queue_returns_nothing,
    a_working_queue_passes_its_checks,
}

/// Claims entries at once.
const NO_MIN_IDLE: Duration = Duration::ZERO;

fn ballot(choice: &str) -> Ballot {
    Ballot {
        voter: VoterId::random(),
        choice: poll().choice(choice).unwrap(),
        traceparent: None,
    }
}

async fn enqueue(queue: &Queue, count: usize) -> Vec<BallotId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(queue.enqueue(&ballot("a")).await.unwrap());
    }
    ids
}

/// Reads until entries are delivered: the first read may return nothing, because it creates the consumer group.
async fn read(consumer: &mut Consumer, max: usize) -> Vec<StreamEntry> {
    for _ in 0..100 {
        let deliveries = consumer.read(max, READ_TIMEOUT).await.unwrap();
        if !deliveries.is_empty() {
            return deliveries;
        }
    }
    panic!("the queue delivered nothing");
}

fn ids(deliveries: &[StreamEntry]) -> Vec<BallotId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

async fn a_ballot_is_read_as_it_was_enqueued(storage: Storage) {
    let queue = storage.queue().await;
    let traceparent = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let sent = [
        ballot("a"),
        Ballot {
            traceparent,
            ..ballot("b")
        },
    ];
    let mut sent_ids = Vec::new();
    for ballot in &sent {
        sent_ids.push(queue.enqueue(ballot).await.unwrap());
    }
    let deliveries = read(&mut queue.consumer("reader"), 10).await;
    assert_eq!(ids(&deliveries), sent_ids);
    let read: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.parse(&poll()).unwrap().ballot)
        .collect();
    assert_eq!(read, sent);
}

async fn ids_increase_and_never_repeat(storage: Storage) {
    let queue = storage.queue().await;
    let in_turn = enqueue(&queue, 20).await;
    assert!(in_turn.is_sorted_by(|a, b| a < b), "{in_turn:?}");
    let voters = (0..50).map(|_| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.enqueue(&ballot("b")).await.unwrap() })
    });
    let mut all: HashSet<_> = in_turn.iter().copied().collect();
    for voter in voters {
        let id = voter.await.unwrap();
        assert!(id > *in_turn.last().unwrap() && all.insert(id), "{id}");
    }
    // Ids keep increasing after the queue was emptied.
    let mut consumer = queue.consumer("reader");
    let everything: Vec<_> = all.into_iter().collect();
    assert_eq!(read(&mut consumer, 100).await.len(), everything.len());
    consumer.acknowledge(&everything).await.unwrap();
    consumer.trim().await.unwrap();
    assert!(enqueue(&queue, 1).await[0] > *everything.iter().max().unwrap());
}

async fn every_ballot_of_a_batch_gets_its_own_id(storage: Storage) {
    let queue = storage.queue().await;
    assert!(queue.enqueue_all(&[]).await.is_empty());
    let group: Vec<_> = (0..600).map(|_| ballot("a")).collect();
    let enqueued = queue.enqueue_all(&group.iter().collect::<Vec<_>>()).await;
    let by_id = enqueued.into_iter().map(Result::unwrap).zip(&group);
    let mut by_id: HashMap<_, _> = by_id.collect();
    assert_eq!(by_id.len(), group.len());
    let mut consumer = queue.consumer("reader");
    while !by_id.is_empty() {
        for delivery in read(&mut consumer, 100).await {
            let ballot = delivery.parse(&poll()).unwrap().ballot;
            assert_eq!(by_id.remove(&delivery.id), Some(&ballot));
        }
    }
}

async fn concurrent_enqueues_return_the_ids_of_their_own_ballots(storage: Storage) {
    let queue = storage.queue().await;
    let voters = (0..300).map(|number| {
        let queue = queue.clone();
        tokio::spawn(async move {
            let ballot = ballot("a");
            let enqueue = queue.enqueue(&ballot);
            // Some voters do not wait for the reply.
            let wait = if number % 3 == 0 {
                Duration::ZERO
            } else {
                TIMEOUT
            };
            let id = timeout(wait, enqueue).await.ok()?.unwrap();
            Some((id, ballot.voter))
        })
    });
    let mut voters_by_id = HashMap::new();
    for voter in voters.collect::<Vec<_>>() {
        voters_by_id.extend(voter.await.unwrap());
    }
    assert!(voters_by_id.len() >= 200, "{}", voters_by_id.len());
    let mut consumer = queue.consumer("reader");
    while !voters_by_id.is_empty() {
        for delivery in read(&mut consumer, 100).await {
            let voter = delivery.parse(&poll()).unwrap().ballot.voter;
            let expected = voters_by_id.remove(&delivery.id);
            assert!(expected.is_none_or(|expected| expected == voter));
        }
    }
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
        still_pending.entries[0].parse(&poll()).unwrap().id,
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

async fn the_backlog_is_reported(storage: Storage) {
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    consumer.read(1, READ_TIMEOUT).await.unwrap();
    let sent = enqueue(&queue, 5).await;
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag, backlog.oldest),
        (0, 5, Some(sent[0]))
    );
    read(&mut consumer, 2).await;
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag, backlog.oldest),
        (2, 3, Some(sent[0]))
    );
    consumer.acknowledge(&sent[..2]).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().oldest, Some(sent[2]));
}

async fn the_backlog_is_reported_before_the_first_worker_starts(storage: Storage) {
    let queue = storage.queue().await;
    let mut observer = queue.consumer("observer");
    assert!(observer.trim().await.unwrap().is_empty());
    let sent = enqueue(&queue, 2).await;
    let backlog = observer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag, backlog.oldest),
        (0, 2, Some(sent[0]))
    );
}

async fn the_last_id_is_reported(storage: Storage) {
    let queue = storage.queue().await;
    assert_eq!(queue.last_id().await.unwrap(), None);
    let sent = enqueue(&queue, 3).await;
    assert_eq!(queue.last_id().await.unwrap(), Some(sent[2]));
    let mut consumer = queue.consumer("reader");
    assert_eq!(read(&mut consumer, 10).await.len(), 3);
    assert_eq!(
        queue.last_id().await.unwrap(),
        Some(sent[2]),
        "pending entries count too"
    );
    consumer.acknowledge(&sent).await.unwrap();
    consumer.trim().await.unwrap();
    assert_eq!(queue.last_id().await.unwrap(), None);
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

async fn enqueued_ballots_outlive_the_connection(storage: Storage) {
    let sent = enqueue(&storage.queue().await, 3).await;
    let queue = storage.queue().await;
    assert_eq!(ids(&read(&mut queue.consumer("later"), 100).await), sent);
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
        .map(|delivery| delivery.parse(&poll()).is_ok())
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

async fn a_working_queue_passes_its_checks(storage: Storage) {
    let queue = storage.queue().await;
    queue.check_write().await.unwrap();
    queue.check_ack().await.unwrap();
    assert_eq!(queue.durability().await.unwrap(), Durability::Full);
}

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
