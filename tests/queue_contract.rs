//! What every queue promises, whatever it is made of. In a cluster it is one of three shards, at another node than its URL
//! names.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use poll::ballot::{Ballot, BallotId, Traceparent, VoterId};
use queue::{Consumer, Delivery, Durability, Queue, QueueError};
use tokio::time::timeout;

use crate::harness::{
    PATIENCE, eventually, redis,
    skip::or_skip,
    storage::{Kind, SOON, Storage, on_all_storages, poll},
};

on_all_storages! {
    a_ballot_comes_out_as_it_went_in,
    ids_grow_and_never_repeat,
    of_a_group_each_is_told_its_own_place,
    of_many_at_once_each_is_told_the_place_of_its_own_ballot,
    a_ballot_is_handed_to_one_consumer_only,
    what_a_dead_consumer_held_is_claimed,
    what_a_live_consumer_holds_is_not_claimed,
    acknowledged_ballots_are_gone_and_the_others_stay,
    the_backlog_is_told,
    the_backlog_is_told_before_the_first_worker_comes,
    the_newest_ballot_is_told,
    a_consumer_that_leaves_loses_nothing,
    what_is_enqueued_outlives_the_connection,
    poison_is_delivered_and_can_be_acknowledged,
    an_idle_queue_answers_with_nothing,
    a_working_queue_passes_the_probe,
}

const NO_IDLE: Duration = Duration::ZERO;

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

/// Reads until there is something: a consumer group that has just been made answers with nothing first.
async fn read(consumer: &mut Consumer, max: usize) -> Vec<Delivery> {
    for _ in 0..100 {
        let deliveries = consumer.next(max, SOON).await.unwrap();
        if !deliveries.is_empty() {
            return deliveries;
        }
    }
    panic!("nothing came out of the queue");
}

fn ids(deliveries: &[Delivery]) -> Vec<BallotId> {
    deliveries.iter().map(|delivery| delivery.id).collect()
}

async fn a_ballot_comes_out_as_it_went_in(storage: Storage) {
    let queue = storage.queue().await;
    let traceparent = Traceparent::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let sent = [
        ballot("a"),
        Ballot {
            traceparent,
            ..ballot("b")
        },
    ];
    let mut places = Vec::new();
    for ballot in &sent {
        places.push(queue.enqueue(ballot).await.unwrap());
    }
    let deliveries = read(&mut queue.consumer("reader"), 10).await;
    assert_eq!(ids(&deliveries), places);
    let read: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.open(&poll()).unwrap().ballot)
        .collect();
    assert_eq!(read, sent);
}

async fn ids_grow_and_never_repeat(storage: Storage) {
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
    // Not even an empty queue starts over.
    let mut consumer = queue.consumer("reader");
    let everything: Vec<_> = all.into_iter().collect();
    assert_eq!(read(&mut consumer, 100).await.len(), everything.len());
    consumer.acknowledge(&everything).await.unwrap();
    consumer.trim().await.unwrap();
    assert!(enqueue(&queue, 1).await[0] > *everything.iter().max().unwrap());
}

async fn of_a_group_each_is_told_its_own_place(storage: Storage) {
    let queue = storage.queue().await;
    assert!(queue.enqueue_all(&[]).await.is_empty());
    let group: Vec<_> = (0..600).map(|_| ballot("a")).collect();
    let places = queue.enqueue_all(&group.iter().collect::<Vec<_>>()).await;
    let places = places.into_iter().map(Result::unwrap).zip(&group);
    let mut told: HashMap<_, _> = places.collect();
    assert_eq!(told.len(), group.len());
    let mut consumer = queue.consumer("reader");
    while !told.is_empty() {
        for delivery in read(&mut consumer, 100).await {
            let ballot = delivery.open(&poll()).unwrap().ballot;
            assert_eq!(told.remove(&delivery.id), Some(&ballot));
        }
    }
}

async fn of_many_at_once_each_is_told_the_place_of_its_own_ballot(storage: Storage) {
    let queue = storage.queue().await;
    let voters = (0..300).map(|number| {
        let queue = queue.clone();
        tokio::spawn(async move {
            let ballot = ballot("a");
            let place = queue.enqueue(&ballot);
            // Some voters do not wait for the answer.
            let patience = if number % 3 == 0 { NO_IDLE } else { PATIENCE };
            let place = timeout(patience, place).await.ok()?.unwrap();
            Some((place, ballot.voter))
        })
    });
    let mut told = HashMap::new();
    for voter in voters.collect::<Vec<_>>() {
        told.extend(voter.await.unwrap());
    }
    assert!(told.len() >= 200, "{}", told.len());
    let mut consumer = queue.consumer("reader");
    while !told.is_empty() {
        for delivery in read(&mut consumer, 100).await {
            let voter = delivery.open(&poll()).unwrap().ballot.voter;
            assert!(told.remove(&delivery.id).is_none_or(|own| own == voter));
        }
    }
}

async fn a_ballot_is_handed_to_one_consumer_only(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 10).await;
    let (mut one, mut other) = (queue.consumer("one"), queue.consumer("other"));
    let mut got = ids(&read(&mut one, 4).await);
    assert_eq!(got.len(), 4, "no more than asked for");
    got.extend(ids(&read(&mut other, 100).await));
    assert_eq!(got, sent);
    assert_eq!(one.next(100, SOON).await.unwrap(), []);
}

async fn what_a_dead_consumer_held_is_claimed(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 3).await;
    let mut dead = queue.consumer("dead");
    let held = read(&mut dead, 100).await;
    dead.acknowledge(&sent[..1]).await.unwrap();
    drop(dead);
    let mut heir = queue.consumer("heir");
    let claimed = heir.claim(100, NO_IDLE).await.unwrap();
    assert_eq!(
        claimed.deliveries,
        held[1..],
        "what was acknowledged is not among it"
    );
    assert_eq!(claimed.lost, []);
    heir.acknowledge(&sent).await.unwrap();
    assert_eq!(
        queue
            .consumer("third")
            .claim(100, NO_IDLE)
            .await
            .unwrap()
            .deliveries,
        []
    );
}

async fn what_a_live_consumer_holds_is_not_claimed(storage: Storage) {
    let queue = storage.queue().await;
    enqueue(&queue, 3).await;
    read(&mut queue.consumer("alive"), 100).await;
    let claimed = queue
        .consumer("greedy")
        .claim(100, Duration::from_hours(1))
        .await
        .unwrap();
    assert_eq!(claimed.deliveries, []);
}

async fn acknowledged_ballots_are_gone_and_the_others_stay(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 6).await;
    let mut consumer = queue.consumer("reader");
    read(&mut consumer, 5).await;
    // The oldest stays in hand: nothing at or above it may be trimmed.
    consumer.acknowledge(&sent[1..5]).await.unwrap();
    consumer.trim().await.unwrap();
    let still_held = queue.consumer("other").claim(100, NO_IDLE).await.unwrap();
    assert_eq!(ids(&still_held.deliveries), sent[..1]);
    assert_eq!(
        still_held.deliveries[0].open(&poll()).unwrap().id,
        sent[0],
        "its content is still there"
    );
    assert_eq!(ids(&read(&mut consumer, 100).await), sent[5..]);
    consumer.acknowledge(&sent).await.unwrap();
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.undelivered, backlog.oldest),
        (0, 0, None)
    );
    if storage.queue_url.starts_with("redis") {
        assert_eq!(
            redis::shared().unwrap().length(&storage.stream),
            0,
            "memory is given back"
        );
    }
}

async fn the_backlog_is_told(storage: Storage) {
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    consumer.next(1, SOON).await.unwrap();
    let sent = enqueue(&queue, 5).await;
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.undelivered, backlog.oldest),
        (0, 5, Some(sent[0]))
    );
    read(&mut consumer, 2).await;
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.undelivered, backlog.oldest),
        (2, 3, Some(sent[0]))
    );
    consumer.acknowledge(&sent[..2]).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().oldest, Some(sent[2]));
}

async fn the_backlog_is_told_before_the_first_worker_comes(storage: Storage) {
    let queue = storage.queue().await;
    let mut looker = queue.consumer("looks");
    assert!(looker.trim().await.unwrap().is_empty());
    let sent = enqueue(&queue, 2).await;
    let backlog = looker.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.undelivered, backlog.oldest),
        (0, 2, Some(sent[0]))
    );
}

async fn the_newest_ballot_is_told(storage: Storage) {
    let queue = storage.queue().await;
    assert_eq!(queue.newest().await.unwrap(), None);
    let sent = enqueue(&queue, 3).await;
    assert_eq!(queue.newest().await.unwrap(), Some(sent[2]));
    let mut consumer = queue.consumer("reader");
    assert_eq!(read(&mut consumer, 10).await.len(), 3);
    assert_eq!(
        queue.newest().await.unwrap(),
        Some(sent[2]),
        "whoever has it"
    );
    consumer.acknowledge(&sent).await.unwrap();
    consumer.trim().await.unwrap();
    assert_eq!(queue.newest().await.unwrap(), None);
}

async fn a_consumer_that_leaves_loses_nothing(storage: Storage) {
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 2).await;
    let mut busy = queue.consumer("busy");
    read(&mut busy, 1).await;
    busy.leave().await.unwrap();
    let mut heir = queue.consumer("heir");
    assert_eq!(
        ids(&heir.claim(100, NO_IDLE).await.unwrap().deliveries),
        sent[..1]
    );
    assert_eq!(ids(&read(&mut heir, 100).await), sent[1..]);
    heir.acknowledge(&sent).await.unwrap();
    heir.leave().await.unwrap();
}

async fn what_is_enqueued_outlives_the_connection(storage: Storage) {
    let sent = enqueue(&storage.queue().await, 3).await;
    let queue = storage.queue().await;
    assert_eq!(ids(&read(&mut queue.consumer("later"), 100).await), sent);
}

async fn poison_is_delivered_and_can_be_acknowledged(storage: Storage) {
    let queue = storage.queue().await;
    enqueue(&queue, 1).await;
    storage
        .enqueue_raw(&[("voter", "nobody"), ("choice", &"x".repeat(300))])
        .await;
    storage.enqueue_raw(&[("something", "else\0")]).await;
    let mut consumer = queue.consumer("reader");
    let mut deliveries = Vec::new();
    while deliveries.len() < 3 {
        deliveries.extend(read(&mut consumer, 100).await);
    }
    let opened: Vec<_> = deliveries
        .iter()
        .map(|delivery| delivery.open(&poll()).is_ok())
        .collect();
    assert_eq!(opened, [true, false, false]);
    consumer.acknowledge(&ids(&deliveries)).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().pending, 0);
}

async fn an_idle_queue_answers_with_nothing(storage: Storage) {
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    assert_eq!(
        consumer.next(10, Duration::from_millis(1)).await.unwrap(),
        []
    );
    assert_eq!(consumer.claim(10, NO_IDLE).await.unwrap().deliveries, []);
    consumer.acknowledge(&[]).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().oldest, None);
}

async fn a_working_queue_passes_the_probe(storage: Storage) {
    let queue = storage.queue().await;
    queue.probe_enqueue().await.unwrap();
    queue.probe_acknowledge().await.unwrap();
    assert_eq!(queue.durability().await.unwrap(), Durability::Full);
}

// What only Redis can do to us.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_consumer_group_is_made_again_from_the_beginning() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
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
        "nothing that may not have been counted is passed over"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_removed_while_pending_are_reported_as_lost() {
    for kind in [Kind::Servers, Kind::Cluster] {
        let storage = or_skip!(Storage::new(kind).await);
        let queue = storage.queue().await;
        let sent = enqueue(&queue, 2).await;
        read(&mut queue.consumer("dead"), 100).await;
        let mut remove_first = ::redis::cmd("XTRIM");
        remove_first.arg(queue.name()).arg("MAXLEN").arg("=").arg(1);
        storage.at_its_node(&remove_first);
        let claimed = queue.consumer("heir").claim(100, NO_IDLE).await.unwrap();
        assert_eq!(claimed.lost, sent[..1]);
        assert_eq!(ids(&claimed.deliveries), sent[1..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_removed_before_they_were_delivered_are_no_backlog() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    let sent = enqueue(&queue, 1).await;
    read(&mut consumer, 100).await;
    let removed = enqueue(&queue, 1).await;
    let mut remove = ::redis::cmd("XDEL");
    remove.arg(queue.name()).arg(removed[0].to_string());
    storage.at_its_node(&remove);
    consumer.acknowledge(&sent).await.unwrap();
    consumer.trim().await.unwrap();
    assert!(consumer.backlog().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_may_lose_votes_or_refuses_them_is_noticed() {
    let redis = or_skip!(redis::own());
    let mut storage = Storage::new(Kind::Embedded).await.unwrap();
    storage.queue_url.clone_from(&redis.url);
    let queue = storage.queue().await;
    assert_eq!(queue.durability().await.unwrap(), Durability::Full);

    redis.set("appendfsync", "everysec");
    let weaker = queue.durability().await.unwrap();
    assert_eq!(
        weaker,
        Durability::Weaker("appendfsync is everysec and should be always".into())
    );
    redis.set("maxmemory-policy", "allkeys-lru");
    redis.set("appendfsync", "always");
    let weaker = queue.durability().await.unwrap();
    assert_eq!(
        weaker,
        Durability::Weaker("maxmemory-policy is allkeys-lru and should be noeviction".into())
    );
    redis.set("maxmemory-policy", "noeviction");

    // It still answers PING, but takes no votes.
    redis.set("maxmemory", "1");
    for refused in [
        queue.probe_enqueue().await,
        queue.enqueue(&ballot("a")).await.map(drop),
    ] {
        assert!(
            matches!(&refused, Err(QueueError::Refused(why)) if why.contains("OOM")),
            "{refused:?}"
        );
    }
    redis.set("maxmemory", "0");
    queue.enqueue(&ballot("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_restarts_keeps_what_it_accepted_and_is_found_again() {
    let redis = or_skip!(redis::own());
    let mut storage = Storage::new(Kind::Embedded).await.unwrap();
    storage.queue_url.clone_from(&redis.url);
    let queue = storage.queue().await;
    let sent = enqueue(&queue, 50).await;
    let mut consumer = queue.consumer("reader");
    let mut got = ids(&read(&mut consumer, 10).await);
    redis.restart();
    eventually(
        "an answer",
        |up| *up,
        async || queue.probe_enqueue().await.is_ok(),
    )
    .await;
    while got.len() < sent.len() {
        // The connection broke, which the first read finds out.
        got.extend(
            consumer
                .next(100, SOON)
                .await
                .map_or_else(|_| Vec::new(), |deliveries| ids(&deliveries)),
        );
    }
    assert_eq!(got, sent);
}
