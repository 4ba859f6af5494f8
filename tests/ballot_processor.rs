//! The ballot processor of the worker: it reads, stores and acknowledges batches.

use std::time::Duration;

use poll::ballot::{Ballot, VoterId};
use queue::Queue;
use store::ErrorClass;
use tokio::time::timeout;
use worker::{
    WorkerMetrics,
    processor::{BallotProcessor, ProcessError, ProcessorConfig, Progress},
};

use crate::{
    harness::{
        TIMEOUT,
        storage::{READ_TIMEOUT, Storage, known_polls, on_both_storages, poll},
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    ballots_move_from_the_queue_to_the_tally,
    invalid_ballots_become_dead_letters_and_block_no_others,
    a_ballot_rejected_by_the_store_becomes_a_dead_letter,
    ballots_are_not_acknowledged_before_they_are_stored,
    a_crash_between_commit_and_acknowledgement_changes_no_vote,
    concurrent_workers_process_every_ballot_once,
    only_the_first_turn_on_an_empty_queue_does_not_block,
}

const CONFIG: ProcessorConfig = ProcessorConfig {
    max_batch_size: 100,
    read_timeout: READ_TIMEOUT,
    claim_min_idle: Duration::from_hours(1),
    restarts_ids: false,
};
/// Blocks for longer than a test may take.
const BLOCK_FOREVER: ProcessorConfig = ProcessorConfig {
    read_timeout: Duration::from_hours(1),
    ..CONFIG
};
/// Claims the entries of other consumers at once.
const CLAIM_AT_ONCE: ProcessorConfig = ProcessorConfig {
    claim_min_idle: Duration::ZERO,
    ..CONFIG
};

struct Worker {
    processor: BallotProcessor,
    metrics: WorkerMetrics,
}

async fn worker(storage: &Storage, name: &str, config: ProcessorConfig) -> Worker {
    let metrics = WorkerMetrics::for_outcomes(&prometheus::Registry::new());
    let consumer = storage.queue().await.consumer(name);
    Worker {
        processor: BallotProcessor::new(
            consumer,
            storage.store().await,
            poll(),
            config,
            metrics.clone(),
        ),
        metrics,
    }
}

impl Worker {
    /// Processes batches until this number of ballots is processed.
    async fn process_all(&mut self, count: usize) {
        let mut left = count;
        for _ in 0..100 {
            if let Progress::Processed(processed_count) = self.processor.run_next().await.unwrap() {
                left -= processed_count;
            }
            if left == 0 {
                return;
            }
        }
        panic!("{left} of {count} ballots were not processed");
    }

    /// The number of processed ballots with this outcome.
    fn processed(&self, outcome: &str) -> u64 {
        self.metrics
            .worker_ballots_processed_total
            .with_label_values(&[outcome])
            .get()
    }
}

/// Enqueues a ballot.
async fn enqueue(queue: &Queue, voter: VoterId, choice: &str) {
    let choice = poll().choice(choice).unwrap();
    queue
        .enqueue(&Ballot {
            poll: poll().id,
            voter,
            choice,
            traceparent: None,
        })
        .await
        .unwrap();
}

async fn ballots_move_from_the_queue_to_the_tally(storage: Storage) {
    let queue = storage.queue().await;
    let changes_vote = VoterId::random();
    enqueue(&queue, changes_vote, "a").await;
    enqueue(&queue, VoterId::random(), "a").await;
    enqueue(&queue, changes_vote, "b").await;
    let mut worker = worker(&storage, "worker", CONFIG).await;
    worker.process_all(3).await;
    assert_eq!(
        storage.count_votes().await,
        [("a".to_owned(), 1), ("b".to_owned(), 1)]
    );
    assert_counts_are_right(&storage).await;
    assert_eq!(worker.processor.run_next().await.unwrap(), Progress::Idle);
    assert_eq!(
        (worker.processed("applied"), worker.processed("stale")),
        (3, 0)
    );
    assert_eq!(
        worker
            .metrics
            .worker_end_to_end_latency_seconds
            .get_sample_count(),
        3
    );
}

async fn invalid_ballots_become_dead_letters_and_block_no_others(storage: Storage) {
    let queue = storage.queue().await;
    enqueue(&queue, VoterId::random(), "a").await;
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
    enqueue(&queue, VoterId::random(), "b").await;
    let mut worker = worker(&storage, "worker", CONFIG).await;
    worker.process_all(6).await;
    assert_eq!(
        storage.count_votes().await,
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
        "the payload is kept for a replay: {}",
        letters[0].payload
    );
    assert_eq!(worker.processed("dead_letter"), 4);
}

async fn a_ballot_rejected_by_the_store_becomes_a_dead_letter(storage: Storage) {
    let queue = storage.queue().await;
    let store = storage.store().await;
    let rejected_voter = VoterId::random();
    let ballots = (0..9).map(|index| {
        if index == 4 {
            rejected_voter
        } else {
            VoterId::random()
        }
    });
    for voter in ballots {
        enqueue(&queue, voter, "a").await;
    }
    reject_in_the_store(&storage, rejected_voter).await;
    storage.enqueue_raw(&[("nonsense", "too")]).await;
    let mut worker = worker(&storage, "worker", CONFIG).await;
    worker.process_all(10).await;
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 8)]);
    let letters = store.dead_letters().await.unwrap();
    assert_eq!(letters.len(), 2);
    assert!(
        letters[0].reason.contains("rejected by a rule"),
        "{}",
        letters[0].reason
    );
    assert_eq!(
        (worker.processed("applied"), worker.processed("dead_letter")),
        (8, 2)
    );
}

/// Adds a trigger, as an operator could, with which the store rejects every ballot of this voter.
pub async fn reject_in_the_store(storage: &Storage, voter: VoterId) {
    let statement = if storage.database_url.starts_with("sqlite") {
        format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON votes WHEN new.id = '{voter}'
             BEGIN SELECT RAISE(ABORT, 'rejected by a rule'); END"
        )
    } else {
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'rejected by a rule' USING ERRCODE = '23514'; END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON votes FOR EACH ROW WHEN (new.id = '{voter}') EXECUTE FUNCTION refuse()"
        )
    };
    storage.execute(&statement).await;
}

async fn ballots_are_not_acknowledged_before_they_are_stored(storage: Storage) {
    let queue = storage.queue().await;
    let mut worker = worker(&storage, "worker", CONFIG).await;
    worker.processor.run_next().await.unwrap();
    enqueue(&queue, VoterId::random(), "a").await;
    storage.execute("ALTER TABLE votes RENAME TO hidden").await;
    for _ in 0..3 {
        let error = worker.processor.run_next().await.unwrap_err();
        assert!(
            matches!(&error, ProcessError::Store(error) if error.class == ErrorClass::Transient),
            "{error}"
        );
    }
    let backlog = queue.consumer("observer").trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag),
        (1, 0),
        "the ballot is still in the queue"
    );
    assert_eq!(worker.processed("retry"), 3);
    storage.execute("ALTER TABLE hidden RENAME TO votes").await;
    worker.process_all(1).await;
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 1)]);
    assert_eq!(queue.consumer("observer").trim().await.unwrap().pending, 0);
}

async fn a_crash_between_commit_and_acknowledgement_changes_no_vote(storage: Storage) {
    let queue = storage.queue().await;
    let voter = VoterId::random();
    enqueue(&queue, voter, "a").await;
    enqueue(&queue, VoterId::random(), "b").await;
    let mut dying = queue.consumer("dying");
    let mut ballots = Vec::new();
    while ballots.len() < 2 {
        let deliveries = dying.read(100, READ_TIMEOUT).await.unwrap();
        ballots.extend(
            deliveries
                .iter()
                .map(|delivery| delivery.parse(&known_polls()).unwrap()),
        );
    }
    storage
        .store()
        .await
        .upsert_ballots(&ballots, &[])
        .await
        .unwrap();
    drop(dying);
    // The voter has changed their vote, and the new vote is already stored.
    enqueue(&queue, voter, "b").await;
    let mut worker_a = worker(&storage, "a", CONFIG).await;
    worker_a.process_all(1).await;
    let mut worker_b = worker(&storage, "b", CLAIM_AT_ONCE).await;
    worker_b.process_all(2).await;
    assert_eq!(
        (
            worker_b.processed("stale"),
            worker_b.metrics.worker_ballots_reclaimed_total.get()
        ),
        (2, 2)
    );
    assert_eq!(storage.count_votes().await, [("b".to_owned(), 2)]);
    assert_counts_are_right(&storage).await;
    assert_eq!(
        queue.consumer("observer").trim().await.unwrap().oldest,
        None
    );
}

async fn concurrent_workers_process_every_ballot_once(storage: Storage) {
    const BALLOTS: usize = 300;
    let queue = storage.queue().await;
    let voters: Vec<_> = (0..60_u8).map(|_| VoterId::random()).collect();
    for index in 0..BALLOTS {
        enqueue(
            &queue,
            voters[index % voters.len()],
            if index * 7 % 3 == 0 { "a" } else { "b" },
        )
        .await;
    }
    let config = ProcessorConfig {
        max_batch_size: 7,
        ..CONFIG
    };
    let mut workers = Vec::new();
    for name in ["one", "two", "three"] {
        let mut worker = worker(&storage, name, config).await;
        workers.push(tokio::spawn(async move {
            let mut processed_count = 0;
            let mut idle = 0;
            // The first batch may be empty, because it creates the consumer group.
            while idle < 3 {
                match worker.processor.run_next().await.unwrap() {
                    Progress::Processed(count) => processed_count += count,
                    Progress::Idle => idle += 1,
                }
            }
            processed_count
        }));
    }
    let mut processed_count = 0;
    for worker in workers {
        processed_count += worker.await.unwrap();
    }
    assert_eq!(processed_count, BALLOTS);
    assert_counts_are_right(&storage).await;
    let last = i64::try_from(
        (BALLOTS - voters.len()..BALLOTS)
            .filter(|index| index * 7 % 3 == 0)
            .count(),
    )
    .unwrap();
    assert_eq!(
        storage.count_votes().await,
        [("a".to_owned(), last), ("b".to_owned(), 60 - last)]
    );
}

async fn only_the_first_turn_on_an_empty_queue_does_not_block(storage: Storage) {
    let queue = storage.queue().await;
    let mut worker = worker(&storage, "worker", BLOCK_FOREVER).await;
    let first_turn = timeout(TIMEOUT, worker.processor.run_next()).await;
    assert_eq!(first_turn.expect("it ends").unwrap(), Progress::Idle);
    let (second_turn, ()) = tokio::join!(
        timeout(TIMEOUT, worker.processor.run_next()),
        enqueue(&queue, VoterId::random(), "a")
    );
    assert_eq!(
        second_turn.expect("it ends").unwrap(),
        Progress::Processed(1)
    );
}
