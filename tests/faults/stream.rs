//! Changes of the queue's stream by other programs, and the consumers of dead workers.

use std::time::Duration;

use poll::ballot::{Ballot, VoterId};

use super::{start_ready, wait_for_metric};
use crate::harness::{
    redis,
    skip::or_skip,
    storage::{Backend, READ_TIMEOUT, Storage, poll},
    viewer::wait_for_votes,
    voter::Voter,
};

async fn enqueue(storage: &Storage, count: usize) {
    let queue = storage.queue().await;
    for _ in 0..count {
        let ballot = Ballot {
            poll: poll().id,
            voter: VoterId::random(),
            choice: poll().choice("a").unwrap(),
            traceparent: None,
        };
        queue.enqueue(&ballot).await.unwrap();
    }
}

/// Reads ballots without acknowledging them, like a worker that dies.
async fn read_pending(storage: &Storage, name: &str, count: usize) -> Vec<poll::ballot::BallotId> {
    let mut consumer = storage.queue().await.consumer(name);
    let mut taken = Vec::new();
    while taken.len() < count {
        let deliveries = consumer
            .read(count - taken.len(), READ_TIMEOUT)
            .await
            .unwrap();
        taken.extend(deliveries.iter().map(|delivery| delivery.id));
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_pending_entries_of_a_dead_worker_are_counted_as_lost() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    enqueue(&storage, 3).await;
    let taken = read_pending(&storage, "dead", 3).await;
    ::redis::cmd("XTRIM")
        .arg(&storage.stream)
        .arg("MINID")
        .arg(taken[2].to_string())
        .exec(&mut redis::shared().unwrap().connect())
        .unwrap();
    let worker = start_ready("worker", &storage, &[]).await;
    wait_for_metric(&worker, "worker_ballots_lost_total 2").await;
    wait_for_metric(
        &worker,
        "worker_ballots_processed_total{outcome=\"applied\"} 1",
    )
    .await;
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_worker_recreates_a_lost_consumer_group() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;
    // One transaction: the vote is added while there is no group.
    let mut together = ::redis::pipe();
    together.atomic();
    together
        .cmd("XGROUP")
        .arg("DESTROY")
        .arg(&storage.stream)
        .arg("workers");
    together.cmd("XADD").arg(&storage.stream).arg("*");
    together.arg("voter").arg(VoterId::random().to_string());
    together.arg("choice").arg("b");
    together
        .exec(&mut redis::shared().unwrap().connect())
        .unwrap();
    wait_for_votes(&result.url, &[1, 1]).await;
    voter.must_vote_for("b").await;
    wait_for_votes(&result.url, &[0, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_without_pending_entries_are_removed() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let queue = storage.queue().await;
    assert_eq!(
        queue
            .consumer("early")
            .remove_idle_consumers(Duration::ZERO)
            .await
            .unwrap(),
        0,
        "there is no stream yet"
    );
    enqueue(&storage, 2).await;
    let done = read_pending(&storage, "done", 1).await;
    queue.consumer("done").acknowledge(&done).await.unwrap();
    let pending = read_pending(&storage, "pending", 1).await;
    let mut observer = queue.consumer("observer");
    assert_eq!(
        observer
            .remove_idle_consumers(Duration::from_hours(1))
            .await
            .unwrap(),
        0,
        "no consumer was idle for this long"
    );
    assert_eq!(
        observer
            .remove_idle_consumers(Duration::ZERO)
            .await
            .unwrap(),
        1
    );
    assert_eq!(consumer_names(&storage), ["pending"]);
    let claimed = observer.claim(10, Duration::ZERO).await.unwrap().entries;
    assert_eq!(claimed[0].id, pending[0], "its pending entry is not lost");

    // With this setting the worker removes consumers after a moment of idleness.
    observer.acknowledge(&pending).await.unwrap();
    let own_name = [("WORKER_NAME", "survivor"), ("WORKER_CLAIM_MIN_IDLE", "0s")];
    let mut worker = start_ready("worker", &storage, &own_name).await;
    worker.process.wait_for_line("removed idle consumers");
    assert!(
        consumer_names(&storage)
            .iter()
            .all(|name| name.starts_with("survivor")),
        "{:?}",
        consumer_names(&storage)
    );
    assert!(worker.process.terminate().success());
    assert_eq!(consumer_names(&storage), [""; 0]);
}

fn consumer_names(storage: &Storage) -> Vec<String> {
    let consumers: Vec<std::collections::HashMap<String, ::redis::Value>> = ::redis::cmd("XINFO")
        .arg("CONSUMERS")
        .arg(&storage.stream)
        .arg("workers")
        .query(&mut redis::shared().unwrap().connect())
        .unwrap();
    let name = |consumer: &std::collections::HashMap<String, ::redis::Value>| {
        ::redis::from_redis_value(consumer["name"].clone()).unwrap()
    };
    consumers.iter().map(name).collect()
}
