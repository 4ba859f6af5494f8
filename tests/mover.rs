//! The worker's one turn after the other: read, store, acknowledge.

use std::time::Duration;

use poll::ballot::{Ballot, VoterId};
use queue::Queue;
use store::ErrorClass;
use worker::{
    WorkerMetrics,
    mover::{MoveError, Mover, Pace, Progress},
};

use crate::{
    harness::storage::{SOON, Storage, on_both_storages, poll},
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    ballots_get_from_the_queue_into_the_tally,
    poison_becomes_a_dead_letter_and_blocks_nobody,
    what_only_the_store_refuses_becomes_a_dead_letter_too,
    nothing_is_acknowledged_before_it_is_stored,
    a_worker_that_died_between_commit_and_acknowledgement_changes_nothing,
    workers_side_by_side_move_every_ballot_once,
}

const PACE: Pace = Pace {
    batch: 100,
    wait: SOON,
    claim_min_idle: Duration::from_hours(1),
    restarts_ids: false,
};
const HEIR: Pace = Pace {
    claim_min_idle: Duration::ZERO,
    ..PACE
};

struct Worker {
    mover: Mover,
    metrics: WorkerMetrics,
}

async fn worker(storage: &Storage, name: &str, pace: Pace) -> Worker {
    let metrics = WorkerMetrics::for_outcomes(&prometheus::Registry::new());
    let consumer = storage.queue().await.consumer(name);
    Worker {
        mover: Mover::new(
            consumer,
            storage.store().await,
            poll(),
            pace,
            metrics.clone(),
        ),
        metrics,
    }
}

impl Worker {
    /// Turns until so many ballots are moved.
    async fn move_all(&mut self, count: usize) {
        let mut left = count;
        for _ in 0..100 {
            if let Progress::Moved(moved) = self.mover.run_next().await.unwrap() {
                left -= moved;
            }
            if left == 0 {
                return;
            }
        }
        panic!("{left} of {count} ballots were not moved");
    }

    fn entries(&self, outcome: &str) -> u64 {
        self.metrics
            .worker_ballots_processed_total
            .with_label_values(&[outcome])
            .get()
    }
}

async fn vote(queue: &Queue, voter: VoterId, choice: &str) {
    let choice = poll().choice(choice).unwrap();
    queue
        .enqueue(&Ballot {
            voter,
            choice,
            traceparent: None,
        })
        .await
        .unwrap();
}

async fn ballots_get_from_the_queue_into_the_tally(storage: Storage) {
    let queue = storage.queue().await;
    let changes_their_mind = VoterId::random();
    vote(&queue, changes_their_mind, "a").await;
    vote(&queue, VoterId::random(), "a").await;
    vote(&queue, changes_their_mind, "b").await;
    let mut worker = worker(&storage, "worker", PACE).await;
    worker.move_all(3).await;
    assert_eq!(
        storage.counted().await,
        [("a".to_owned(), 1), ("b".to_owned(), 1)]
    );
    assert_counts_are_right(&storage).await;
    assert_eq!(worker.mover.run_next().await.unwrap(), Progress::Idle);
    assert_eq!((worker.entries("applied"), worker.entries("stale")), (3, 0));
    assert_eq!(
        worker
            .metrics
            .worker_end_to_end_latency_seconds
            .get_sample_count(),
        3
    );
}

async fn poison_becomes_a_dead_letter_and_blocks_nobody(storage: Storage) {
    let queue = storage.queue().await;
    vote(&queue, VoterId::random(), "a").await;
    let voter = VoterId::random().to_string();
    storage
        .enqueue_raw(&[("voter", &voter), ("choice", "c")])
        .await;
    storage
        .enqueue_raw(&[("voter", &voter), ("choice", &"a".repeat(300))])
        .await;
    storage
        .enqueue_raw(&[("voter", "a\0"), ("choice", "a")])
        .await;
    storage.enqueue_raw(&[("nonsense", "\x01")]).await;
    vote(&queue, VoterId::random(), "b").await;
    let mut worker = worker(&storage, "worker", PACE).await;
    worker.move_all(6).await;
    assert_eq!(
        storage.counted().await,
        [("a".to_owned(), 1), ("b".to_owned(), 1)]
    );
    let letters = storage.store().await.dead_letters().await.unwrap();
    let reasons: Vec<_> = letters
        .iter()
        .map(|letter| letter.reason.as_str())
        .collect();
    assert_eq!(reasons.len(), 4, "{reasons:?}");
    assert!(
        reasons[0].contains("\"c\" is not a choice") && reasons[3].contains("no field \"voter\""),
        "{reasons:?}"
    );
    assert!(
        letters[0].payload.contains(&voter),
        "it can be looked into and replayed: {}",
        letters[0].payload
    );
    assert_eq!(worker.entries("dead_letter"), 4);
}

async fn what_only_the_store_refuses_becomes_a_dead_letter_too(storage: Storage) {
    let queue = storage.queue().await;
    let store = storage.store().await;
    let refused = VoterId::random();
    let ballots = (0..9).map(|index| {
        if index == 4 {
            refused
        } else {
            VoterId::random()
        }
    });
    for voter in ballots {
        vote(&queue, voter, "a").await;
    }
    // A rule that an operator added to the table.
    refuse_in_the_store(&storage, refused).await;
    storage.enqueue_raw(&[("nonsense", "too")]).await;
    let mut worker = worker(&storage, "worker", PACE).await;
    worker.move_all(10).await;
    assert_eq!(storage.counted().await, [("a".to_owned(), 8)]);
    let letters = store.dead_letters().await.unwrap();
    assert_eq!(letters.len(), 2);
    assert!(
        letters[0].reason.contains("refused by a rule"),
        "{}",
        letters[0].reason
    );
    assert_eq!(
        (worker.entries("applied"), worker.entries("dead_letter")),
        (8, 2)
    );
}

/// A rule that an operator added: the store refuses this voter for ever.
pub async fn refuse_in_the_store(storage: &Storage, voter: VoterId) {
    let statement = if storage.database_url.starts_with("sqlite") {
        format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON votes WHEN new.id = '{voter}'
             BEGIN SELECT RAISE(ABORT, 'refused by a rule'); END"
        )
    } else {
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'refused by a rule' USING ERRCODE = '23514'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON votes FOR EACH ROW WHEN (new.id = '{voter}') EXECUTE FUNCTION refuse()"
        )
    };
    storage.execute(&statement).await;
}

async fn nothing_is_acknowledged_before_it_is_stored(storage: Storage) {
    let queue = storage.queue().await;
    let mut worker = worker(&storage, "worker", PACE).await;
    worker.mover.run_next().await.unwrap();
    vote(&queue, VoterId::random(), "a").await;
    storage.execute("ALTER TABLE votes RENAME TO hidden").await;
    for _ in 0..3 {
        let error = worker.mover.run_next().await.unwrap_err();
        assert!(
            matches!(&error, MoveError::Store(error) if error.class == ErrorClass::Transient),
            "{error}"
        );
    }
    let backlog = queue.consumer("looks").trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.undelivered),
        (1, 0),
        "the queue still has it"
    );
    assert_eq!(worker.entries("retry"), 3);
    storage.execute("ALTER TABLE hidden RENAME TO votes").await;
    worker.move_all(1).await;
    assert_eq!(storage.counted().await, [("a".to_owned(), 1)]);
    assert_eq!(queue.consumer("looks").trim().await.unwrap().pending, 0);
}

async fn a_worker_that_died_between_commit_and_acknowledgement_changes_nothing(storage: Storage) {
    let queue = storage.queue().await;
    let voter = VoterId::random();
    vote(&queue, voter, "a").await;
    vote(&queue, VoterId::random(), "b").await;
    let mut dying = queue.consumer("dying");
    let mut ballots = Vec::new();
    while ballots.len() < 2 {
        let deliveries = dying.next(100, SOON).await.unwrap();
        ballots.extend(
            deliveries
                .iter()
                .map(|delivery| delivery.open(&poll()).unwrap()),
        );
    }
    storage.store().await.apply(&ballots, &[]).await.unwrap();
    drop(dying);
    // Meanwhile the voter has changed their mind, and that has been counted already.
    vote(&queue, voter, "b").await;
    let mut quick = worker(&storage, "quick", PACE).await;
    quick.move_all(1).await;
    let mut heir = worker(&storage, "heir", HEIR).await;
    heir.move_all(2).await;
    assert_eq!(
        (
            heir.entries("stale"),
            heir.metrics.worker_ballots_reclaimed_total.get()
        ),
        (2, 2)
    );
    assert_eq!(storage.counted().await, [("b".to_owned(), 2)]);
    assert_counts_are_right(&storage).await;
    assert_eq!(queue.consumer("looks").trim().await.unwrap().oldest, None);
}

async fn workers_side_by_side_move_every_ballot_once(storage: Storage) {
    const BALLOTS: usize = 300;
    let queue = storage.queue().await;
    let voters: Vec<_> = (0..60_u8).map(|_| VoterId::random()).collect();
    for index in 0..BALLOTS {
        vote(
            &queue,
            voters[index % voters.len()],
            if index * 7 % 3 == 0 { "a" } else { "b" },
        )
        .await;
    }
    let pace = Pace { batch: 7, ..PACE };
    let mut workers = Vec::new();
    for name in ["one", "two", "three"] {
        let mut worker = worker(&storage, name, pace).await;
        workers.push(tokio::spawn(async move {
            let mut moved = 0;
            let mut idle = 0;
            // The first turn may find the group just made, and so nothing.
            while idle < 3 {
                match worker.mover.run_next().await.unwrap() {
                    Progress::Moved(count) => moved += count,
                    Progress::Idle => idle += 1,
                }
            }
            moved
        }));
    }
    let mut moved = 0;
    for worker in workers {
        moved += worker.await.unwrap();
    }
    assert_eq!(moved, BALLOTS);
    assert_counts_are_right(&storage).await;
    let last = i64::try_from(
        (BALLOTS - voters.len()..BALLOTS)
            .filter(|index| index * 7 % 3 == 0)
            .count(),
    )
    .unwrap();
    assert_eq!(
        storage.counted().await,
        [("a".to_owned(), last), ("b".to_owned(), 60 - last)]
    );
}
