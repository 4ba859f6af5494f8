//! Somebody changes the queue's stream behind the workers' backs; workers die and leave their names.

use std::time::Duration;

use poll::ballot::{Ballot, VoterId};

use super::{start_ready, until_metric};
use crate::harness::{
    redis,
    skip::or_skip,
    storage::{Kind, SOON, Storage, poll},
    viewer::until_votes,
    voter::Voter,
};

async fn enqueue(storage: &Storage, count: usize) {
    let queue = storage.queue().await;
    for _ in 0..count {
        let ballot = Ballot {
            voter: VoterId::random(),
            choice: poll().choice("a").unwrap(),
            traceparent: None,
        };
        queue.enqueue(&ballot).await.unwrap();
    }
}

/// Takes ballots, as a worker that dies with them in hand.
async fn take(storage: &Storage, name: &str, count: usize) -> Vec<poll::ballot::BallotId> {
    let mut consumer = storage.queue().await.consumer(name);
    let mut taken = Vec::new();
    while taken.len() < count {
        let deliveries = consumer.read(count - taken.len(), SOON).await.unwrap();
        taken.extend(deliveries.iter().map(|delivery| delivery.id));
    }
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_removed_in_a_dead_workers_hands_are_counted_as_lost() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    enqueue(&storage, 3).await;
    let taken = take(&storage, "dead", 3).await;
    ::redis::cmd("XTRIM")
        .arg(&storage.stream)
        .arg("MINID")
        .arg(taken[2].to_string())
        .exec(&mut redis::shared().unwrap().connect())
        .unwrap();
    let worker = start_ready("worker", &storage, &[]).await;
    until_metric(&worker, "worker_ballots_lost_total 2").await;
    until_metric(
        &worker,
        "worker_ballots_processed_total{outcome=\"applied\"} 1",
    )
    .await;
    assert_eq!(storage.counted().await, [("a".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_group_is_made_again_under_a_running_worker() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    until_votes(&result.url, &[1, 0]).await;
    // One transaction: the vote comes while there is no group.
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
    until_votes(&result.url, &[1, 1]).await;
    voter.must_vote_for("b").await;
    until_votes(&result.url, &[0, 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_workers_that_hold_nothing_are_forgotten() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
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
    let done = take(&storage, "done", 1).await;
    queue.consumer("done").acknowledge(&done).await.unwrap();
    let held = take(&storage, "holds", 1).await;
    let mut looks = queue.consumer("looks");
    assert_eq!(
        looks
            .remove_idle_consumers(Duration::from_hours(1))
            .await
            .unwrap(),
        0,
        "nobody was silent for so long"
    );
    assert_eq!(
        looks.remove_idle_consumers(Duration::ZERO).await.unwrap(),
        1
    );
    assert_eq!(names(&storage), ["holds"]);
    let claimed = looks.claim(10, Duration::ZERO).await.unwrap().entries;
    assert_eq!(claimed[0].id, held[0], "what it holds is not lost");

    // The worker does it by itself: with this setting one that was silent for a moment is gone.
    looks.acknowledge(&held).await.unwrap();
    let own_name = [("WORKER_NAME", "survivor"), ("WORKER_CLAIM_MIN_IDLE", "0s")];
    let mut worker = start_ready("worker", &storage, &own_name).await;
    worker.process.line_with("removed the names");
    assert!(
        names(&storage)
            .iter()
            .all(|name| name.starts_with("survivor")),
        "{:?}",
        names(&storage)
    );
    assert!(worker.process.terminate().success());
    assert_eq!(names(&storage), [""; 0]);
}

fn names(storage: &Storage) -> Vec<String> {
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
