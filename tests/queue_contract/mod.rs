//! The contract of all queue backends. In a cluster, the tested stream is on one of three shards, not on the node that
//! the URL names.

mod backlog;
mod delivery;
mod enqueueing;
mod redis_faults;

use std::time::Duration;

use poll::ballot::{Ballot, BallotId, VoterId};
use queue::{Consumer, Queue, StreamEntry};

use crate::harness::storage::{READ_TIMEOUT, poll};

/// Claims entries at once.
const NO_MIN_IDLE: Duration = Duration::ZERO;

fn ballot(choice: &str) -> Ballot {
    Ballot {
        poll: poll().id,
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
