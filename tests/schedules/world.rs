//! The model of a schedule: voters, ballot processors, the queue and the store, and the invariants after each event.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::TryStreamExt;
use poll::ballot::{Ballot, BallotId, VoterId};
use prometheus::Registry;
use proptest::prelude::*;
use queue::Queue;
use store::{Store, StoredVote};
use worker::{
    WorkerMetrics,
    processor::{BallotProcessor, ProcessError, ProcessorConfig, Progress, Step},
};

use super::{Event, PROCESSORS, Successor, VOTERS, direct_access::DirectAccess};
use crate::{
    harness::storage::{Storage, poll},
    store_contract::assert_counts_are_right,
};

/// The first millisecond; the second one has one digit more.
const FIRST_MS: u64 = 9_999_999_999_999;
/// A small size, so that batches are often full.
const BATCH: usize = 2;
const NEVER: Duration = Duration::from_hours(1000);
/// The maximum number of rounds until the queue is empty.
const MAX_ROUNDS: usize = 200;

type Outcome = Result<(), TestCaseError>;

pub struct World<'a> {
    storage: &'a Storage,
    direct: DirectAccess<'a>,
    queue: Queue,
    store: Store,
    ms: u64,
    voters: Vec<VoterId>,
    processors: Vec<NamedProcessor>,
    /// The last accepted ballot of each voter, which must count in the end.
    newest: BTreeMap<VoterId, (BallotId, &'static str)>,
    poison: BTreeSet<BallotId>,
    /// Accepted ballots that have not been seen in the store yet, with their voters; invalid ballots have none.
    not_yet_stored: BTreeMap<BallotId, Option<VoterId>>,
    names: usize,
}

struct NamedProcessor {
    name: String,
    processor: BallotProcessor,
    /// True if it has stored the batch in flight.
    has_stored: bool,
}

impl<'a> World<'a> {
    pub async fn new(storage: &'a Storage) -> Self {
        let mut direct = DirectAccess::of(storage).await;
        let (queue, store) = (storage.queue().await, storage.store().await);
        direct.set_clock(FIRST_MS).await;
        let mut world = Self {
            storage,
            direct,
            queue,
            store,
            ms: FIRST_MS,
            voters: (0..VOTERS).map(voter).collect(),
            processors: Vec::new(),
            newest: BTreeMap::new(),
            poison: BTreeSet::new(),
            not_yet_stored: BTreeMap::new(),
            names: 0,
        };
        for index in 0..PROCESSORS {
            let name = world.new_name();
            let processor = world.processor(name, index + 1 == PROCESSORS);
            world.processors.push(processor);
        }
        world
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("worker-{}", self.names)
    }

    fn processor(&self, name: String, claims: bool) -> NamedProcessor {
        let config = ProcessorConfig {
            max_batch_size: BATCH,
            read_timeout: Duration::ZERO,
            claim_min_idle: if claims { Duration::ZERO } else { NEVER },
            restarts_ids: false,
        };
        let metrics = WorkerMetrics::for_outcomes(&Registry::new());
        let consumer = self.queue.consumer(&name);
        NamedProcessor {
            processor: BallotProcessor::new(consumer, self.store.clone(), poll(), config, metrics),
            name,
            has_stored: false,
        }
    }

    /// Applies an event. Fails if a ballot was acknowledged or trimmed without being stored.
    pub async fn apply(&mut self, event: Event) -> Outcome {
        match event {
            Event::Vote { voter, choice } => self.vote(self.voters[voter], choice).await,
            Event::Poison => self.poison().await,
            Event::ClockTick => {
                self.ms += 1;
                self.direct.set_clock(self.ms).await;
            }
            Event::Steps { processor, count } => {
                for _ in 0..count {
                    self.processors[processor].steps(1).await?;
                    self.check_no_ballot_lost().await?;
                }
            }
            Event::ConcurrentSteps {
                first,
                second,
                count,
            } => match self.processors.get_disjoint_mut([first, second]) {
                Ok([first, second]) => {
                    self.direct.lock_tally().await;
                    let (first, second, ()) = tokio::join!(
                        first.steps(count),
                        second.steps(count),
                        self.direct.unlock_tally()
                    );
                    first.and(second)?;
                }
                Err(_) => self.processors[first].steps(count).await?,
            },
            Event::Crash {
                processor,
                successor,
            } => self.crash(processor, successor),
            Event::StepWithoutQueue(processor) => {
                self.direct.break_queue().await;
                let _may_fail = self.processors[processor].try_step().await;
                self.direct.restore_queue().await;
            }
            Event::StepWithoutStore(processor) => {
                self.direct.break_store().await;
                let _may_fail = self.processors[processor].try_step().await;
                self.direct.restore_store().await;
            }
            Event::AckReplyLost(processor) => {
                let NamedProcessor {
                    processor,
                    has_stored,
                    ..
                } = &self.processors[processor];
                if *has_stored {
                    let mut consumer = self.queue.consumer("observer");
                    consumer.acknowledge(&processor.in_flight()).await.unwrap();
                }
            }
            Event::Trim => drop(self.queue.consumer("observer").trim().await.unwrap()),
            Event::GroupLost => self.direct.destroy_group().await,
            Event::RemoveIdleConsumers => {
                let mut consumer = self.queue.consumer("observer");
                consumer
                    .remove_idle_consumers(Duration::ZERO)
                    .await
                    .unwrap();
            }
        }
        self.check_no_ballot_lost().await
    }

    async fn vote(&mut self, voter: VoterId, choice: &'static str) {
        let ballot = Ballot {
            poll: poll().id,
            voter,
            choice: poll().choice(choice).unwrap(),
            traceparent: None,
        };
        let id = self.queue.enqueue(&ballot).await.unwrap();
        self.newest.insert(voter, (id, choice));
        self.not_yet_stored.insert(id, Some(voter));
    }

    async fn poison(&mut self) {
        self.storage.enqueue_raw(&[("no", "ballot")]).await;
        let id = self.queue.last_id().await.unwrap().expect("it exists");
        self.poison.insert(id);
        self.not_yet_stored.insert(id, None);
    }

    fn crash(&mut self, processor: usize, Successor { same_name, claims }: Successor) {
        let name = if same_name {
            self.processors[processor].name.clone()
        } else {
            self.new_name()
        };
        self.processors[processor] = self.processor(name, claims);
    }

    async fn check_no_ballot_lost(&mut self) -> Outcome {
        let queued = self.direct.queued_ballots().await;
        if self.not_yet_stored.keys().all(|id| queued.contains(id)) {
            return Ok(());
        }
        let stored: BTreeMap<_, _> = self
            .stored_votes()
            .await
            .into_iter()
            .map(|vote| (vote.voter, vote.ballot))
            .collect();
        let dead = self.dead_letters().await;
        let is_stored = |id: &BallotId, voter: &Option<VoterId>| match voter {
            Some(voter) => stored
                .get(&voter.to_string())
                .is_some_and(|ballot| *ballot >= Some(*id)),
            None => dead.contains(id),
        };
        for (id, voter) in &self.not_yet_stored {
            prop_assert!(
                queued.contains(id) || is_stored(id, voter),
                "{id} is neither in the queue nor in the store"
            );
        }
        self.not_yet_stored
            .retain(|id, voter| !is_stored(id, voter));
        Ok(())
    }

    /// Runs all processors and one that claims all pending entries until the queue is empty, and checks the final state.
    pub async fn wait_quiescent(mut self) -> Outcome {
        let claimer = self.processor("claimer".into(), true);
        self.processors.push(claimer);
        let mut rounds = 0;
        while self.run_all().await? {
            rounds += 1;
            prop_assert!(rounds < MAX_ROUNDS, "the queue is never empty");
        }
        self.check_no_ballot_lost().await?;
        prop_assert_eq!(self.direct.queued_ballots().await, BTreeSet::new());
        let backlog = self.queue.consumer("observer").trim().await.unwrap();
        prop_assert!(backlog.is_empty(), "{:?}", backlog);
        prop_assert_eq!(self.queue.last_id().await.unwrap(), None, "it is trimmed");

        let stored = self.stored_votes().await.into_iter();
        let stored: Vec<_> = stored
            .map(|vote| (vote.voter, vote.ballot, vote.choice))
            .collect();
        let newest = self.newest.iter();
        let newest: Vec<_> = newest
            .map(|(voter, (id, choice))| (voter.to_string(), Some(*id), (*choice).to_owned()))
            .collect();
        prop_assert_eq!(stored, newest);
        prop_assert_eq!(
            self.dead_letters().await,
            self.poison.iter().copied().collect::<Vec<_>>()
        );
        assert_counts_are_right(self.storage).await;
        Ok(())
    }

    async fn run_all(&mut self) -> Result<bool, TestCaseError> {
        let mut has_progress = false;
        for NamedProcessor { processor, .. } in &mut self.processors {
            has_progress |= processor
                .run_next()
                .await
                .map_err(|error| unexpected(&error))?
                != Progress::Idle;
        }
        Ok(has_progress)
    }

    async fn stored_votes(&self) -> Vec<StoredVote> {
        self.store.stored_votes(None).try_collect().await.unwrap()
    }

    async fn dead_letters(&self) -> Vec<BallotId> {
        let letters = self.store.dead_letters().await.unwrap();
        letters.iter().map(|letter| letter.id).collect()
    }
}

impl NamedProcessor {
    async fn steps(&mut self, count: usize) -> Outcome {
        for _ in 0..count {
            let taken = self.try_step().await;
            taken.map_err(|error| unexpected(&error))?;
        }
        Ok(())
    }

    async fn try_step(&mut self) -> Result<(), ProcessError> {
        self.has_stored = self.processor.step().await? == Step::Stored;
        Ok(())
    }
}

/// The id of a voter, the same in every run, so that a shrunk schedule can be reproduced.
fn voter(number: usize) -> VoterId {
    format!("{number:032x}").parse().expect("it is an id")
}

fn unexpected(error: &ProcessError) -> TestCaseError {
    TestCaseError::fail(format!("a processor failed: {error}"))
}
