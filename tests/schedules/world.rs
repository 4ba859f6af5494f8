//! Voters, movers, their queue and their store, in which events happen one after the other; and what must hold.

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
    mover::{MoveError, Mover, Pace, Progress, Step},
};

use super::{Event, MOVERS, Successor, VOTERS, outside::Outside};
use crate::{
    harness::storage::{Storage, poll},
    store_contract::assert_counts_are_right,
};

/// The second millisecond has one digit more.
const FIRST_MS: u64 = 9_999_999_999_999;
/// Small, so that batches are often full.
const BATCH: usize = 2;
const NEVER: Duration = Duration::from_hours(1000);
/// How often every mover may turn until nothing is left.
const ENOUGH_TURNS: usize = 200;

type Outcome = Result<(), TestCaseError>;

pub struct World<'a> {
    storage: &'a Storage,
    outside: Outside<'a>,
    queue: Queue,
    store: Store,
    ms: u64,
    voters: Vec<VoterId>,
    movers: Vec<Named>,
    /// What every voter was told last: the ballot that must count in the end.
    newest: BTreeMap<VoterId, (BallotId, &'static str)>,
    poison: BTreeSet<BallotId>,
    /// What has been accepted and not yet been seen in the store, and whose it is; nobody's, if it is poison.
    not_yet_stored: BTreeMap<BallotId, Option<VoterId>>,
    names: usize,
}

struct Named {
    name: String,
    mover: Mover,
    /// It has a stored batch in hand.
    has_stored: bool,
}

impl<'a> World<'a> {
    pub async fn new(storage: &'a Storage) -> Self {
        let mut outside = Outside::of(storage).await;
        let (queue, store) = (storage.queue().await, storage.store().await);
        outside.set_clock(FIRST_MS).await;
        let mut world = Self {
            storage,
            outside,
            queue,
            store,
            ms: FIRST_MS,
            voters: (0..VOTERS).map(voter).collect(),
            movers: Vec::new(),
            newest: BTreeMap::new(),
            poison: BTreeSet::new(),
            not_yet_stored: BTreeMap::new(),
            names: 0,
        };
        for index in 0..MOVERS {
            let name = world.new_name();
            let mover = world.mover(name, index + 1 == MOVERS);
            world.movers.push(mover);
        }
        world
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("worker-{}", self.names)
    }

    fn mover(&self, name: String, claims: bool) -> Named {
        let pace = Pace {
            batch: BATCH,
            wait: Duration::ZERO,
            claim_min_idle: if claims { Duration::ZERO } else { NEVER },
            restarts_ids: false,
        };
        let metrics = WorkerMetrics::for_outcomes(&Registry::new());
        let consumer = self.queue.consumer(&name);
        Named {
            mover: Mover::new(consumer, self.store.clone(), poll(), pace, metrics),
            name,
            has_stored: false,
        }
    }

    /// And afterwards nothing has been acknowledged or trimmed that is not stored.
    pub async fn happens(&mut self, event: Event) -> Outcome {
        match event {
            Event::Vote { voter, choice } => self.vote(self.voters[voter], choice).await,
            Event::Poison => self.poison().await,
            Event::ClockTicks => {
                self.ms += 1;
                self.outside.set_clock(self.ms).await;
            }
            Event::Steps { mover, count } => {
                for _ in 0..count {
                    self.movers[mover].steps(1).await?;
                    self.nothing_has_vanished().await?;
                }
            }
            Event::StepTogether { one, other, count } => {
                match self.movers.get_disjoint_mut([one, other]) {
                    Ok([one, other]) => {
                        self.outside.close_tally().await;
                        let (one, other, ()) = tokio::join!(
                            one.steps(count),
                            other.steps(count),
                            self.outside.let_pass()
                        );
                        one.and(other)?;
                    }
                    Err(_) => self.movers[one].steps(count).await?,
                }
            }
            Event::Dies { mover, successor } => self.dies(mover, successor),
            Event::StepWithoutQueue(mover) => {
                self.outside.take_queue_away().await;
                let _may_fail = self.movers[mover].try_step().await;
                self.outside.bring_queue_back().await;
            }
            Event::StepWithoutStore(mover) => {
                self.outside.take_store_away().await;
                let _may_fail = self.movers[mover].try_step().await;
                self.outside.bring_store_back().await;
            }
            Event::AnswerIsLost(mover) => {
                let Named {
                    mover, has_stored, ..
                } = &self.movers[mover];
                if *has_stored {
                    let mut wire = self.queue.consumer("wire");
                    wire.acknowledge(&mover.in_hand()).await.unwrap();
                }
            }
            Event::Trim => drop(self.queue.consumer("trims").trim().await.unwrap()),
            Event::GroupIsLost => self.outside.lose_group().await,
            Event::IdleNamesAreForgotten => {
                let mut forgets = self.queue.consumer("forgets");
                forgets.remove_idle_consumers(Duration::ZERO).await.unwrap();
            }
        }
        self.nothing_has_vanished().await
    }

    async fn vote(&mut self, voter: VoterId, choice: &'static str) {
        let ballot = Ballot {
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
        let id = self.queue.last_id().await.unwrap().expect("it is there");
        self.poison.insert(id);
        self.not_yet_stored.insert(id, None);
    }

    fn dies(&mut self, mover: usize, Successor { same_name, claims }: Successor) {
        let name = if same_name {
            self.movers[mover].name.clone()
        } else {
            self.new_name()
        };
        self.movers[mover] = self.mover(name, claims);
    }

    async fn nothing_has_vanished(&mut self) -> Outcome {
        let kept = self.outside.kept_by_the_queue().await;
        if self.not_yet_stored.keys().all(|id| kept.contains(id)) {
            return Ok(());
        }
        let standing: BTreeMap<_, _> = self
            .standing_votes()
            .await
            .into_iter()
            .map(|vote| (vote.voter, vote.ballot))
            .collect();
        let dead = self.dead_letters().await;
        let is_stored = |id: &BallotId, voter: &Option<VoterId>| match voter {
            Some(voter) => standing
                .get(&voter.to_string())
                .is_some_and(|ballot| *ballot >= Some(*id)),
            None => dead.contains(id),
        };
        for (id, voter) in &self.not_yet_stored {
            prop_assert!(
                kept.contains(id) || is_stored(id, voter),
                "{id} is in the queue no more, and not in the store"
            );
        }
        self.not_yet_stored
            .retain(|id, voter| !is_stored(id, voter));
        Ok(())
    }

    /// All faults are over, nobody is frozen, and somebody takes over what others left.
    pub async fn comes_to_rest(mut self) -> Outcome {
        let heir = self.mover("heir".into(), true);
        self.movers.push(heir);
        let mut turns = 0;
        while self.somebody_moves().await? {
            turns += 1;
            prop_assert!(turns < ENOUGH_TURNS, "it never ends");
        }
        self.nothing_has_vanished().await?;
        prop_assert_eq!(self.outside.kept_by_the_queue().await, BTreeSet::new());
        let backlog = self.queue.consumer("looks").trim().await.unwrap();
        prop_assert!(backlog.is_empty(), "{:?}", backlog);
        prop_assert_eq!(self.queue.last_id().await.unwrap(), None, "it is trimmed");

        let standing = self.standing_votes().await.into_iter();
        let standing: Vec<_> = standing
            .map(|vote| (vote.voter, vote.ballot, vote.choice))
            .collect();
        let newest = self.newest.iter();
        let newest: Vec<_> = newest
            .map(|(voter, (id, choice))| (voter.to_string(), Some(*id), (*choice).to_owned()))
            .collect();
        prop_assert_eq!(standing, newest);
        prop_assert_eq!(
            self.dead_letters().await,
            self.poison.iter().copied().collect::<Vec<_>>()
        );
        assert_counts_are_right(self.storage).await;
        Ok(())
    }

    async fn somebody_moves(&mut self) -> Result<bool, TestCaseError> {
        let mut moved = false;
        for Named { mover, .. } in &mut self.movers {
            moved |= mover.run_next().await.map_err(|error| unexpected(&error))? != Progress::Idle;
        }
        Ok(moved)
    }

    async fn standing_votes(&self) -> Vec<StoredVote> {
        self.store.stored_votes().try_collect().await.unwrap()
    }

    async fn dead_letters(&self) -> Vec<BallotId> {
        let letters = self.store.dead_letters().await.unwrap();
        letters.iter().map(|letter| letter.id).collect()
    }
}

impl Named {
    async fn steps(&mut self, count: usize) -> Outcome {
        for _ in 0..count {
            let taken = self.try_step().await;
            taken.map_err(|error| unexpected(&error))?;
        }
        Ok(())
    }

    async fn try_step(&mut self) -> Result<(), MoveError> {
        self.has_stored = self.mover.step().await? == Step::Stored;
        Ok(())
    }
}

/// The same in every run, so that what has been shrunk happens again.
fn voter(number: usize) -> VoterId {
    format!("{number:032x}").parse().expect("it is an id")
}

fn unexpected(error: &MoveError) -> TestCaseError {
    TestCaseError::fail(format!("a mover failed: {error}"))
}
