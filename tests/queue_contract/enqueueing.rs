//! Ballots that are enqueued, and their ids.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use poll::ballot::{Ballot, Traceparent};
use queue::Durability;
use tokio::time::timeout;

use super::{ballot, enqueue, ids, read};
use crate::harness::{
    TIMEOUT,
    storage::{Storage, known_polls, on_all_storages},
};

on_all_storages! {
    a_ballot_is_read_as_it_was_enqueued,
    ids_increase_and_never_repeat,
    every_ballot_of_a_batch_gets_its_own_id,
    concurrent_enqueues_return_the_ids_of_their_own_ballots,
    enqueued_ballots_outlive_the_connection,
    a_working_queue_passes_its_checks,
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
        .map(|delivery| delivery.parse(&known_polls()).unwrap().ballot)
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
            let ballot = delivery.parse(&known_polls()).unwrap().ballot;
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
            let voter = delivery.parse(&known_polls()).unwrap().ballot.voter;
            let expected = voters_by_id.remove(&delivery.id);
            assert!(expected.is_none_or(|expected| expected == voter));
        }
    }
}

async fn enqueued_ballots_outlive_the_connection(storage: Storage) {
    let sent = enqueue(&storage.queue().await, 3).await;
    let queue = storage.queue().await;
    assert_eq!(ids(&read(&mut queue.consumer("later"), 100).await), sent);
}

async fn a_working_queue_passes_its_checks(storage: Storage) {
    let queue = storage.queue().await;
    queue.check_write().await.unwrap();
    queue.check_ack().await.unwrap();
    assert_eq!(queue.durability().await.unwrap(), Durability::Full);
}
