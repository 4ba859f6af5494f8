//! The tally does not depend on duplication, delay or reordering of deliveries.

use std::collections::BTreeMap;

use poll::ballot::{Ballot, BallotId, CastBallot, VoterId};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use store::Store;

use crate::{
    harness::storage::{Storage, on_both_storages, poll},
    store_contract::assert_counts_are_right,
};

on_both_storages! { any_order_ends_in_the_same_tally }

/// The ballots of voters who vote repeatedly, each with its id, and their deliveries.
#[derive(Clone, Debug)]
struct Election {
    cast: Vec<CastBallot>,
    /// Batches of indices into `cast` in the order of their delivery: any order, with duplicates.
    deliveries: Vec<Vec<usize>>,
}

fn elections() -> impl Strategy<Value = Election> {
    let ballot = (
        0..6_usize,
        prop::bool::ANY,
        prop_oneof![0..12_u64, 95..105_u64, 9_990..10_010_u64],
        0..12_u64,
    );
    prop::collection::vec(ballot, 1..40).prop_flat_map(|ballots| {
        let voters: Vec<VoterId> = (0..6_u8)
            .map(|voter| format!("{voter:032x}").parse().unwrap())
            .collect();
        let mut by_id: BTreeMap<BallotId, CastBallot> = BTreeMap::new();
        for (voter, cats, ms, seq) in ballots {
            let choice = poll().choice(if cats { "a" } else { "b" }).unwrap();
            let id = BallotId { ms, seq };
            let ballot = Ballot {
                poll: poll().id,
                voter: voters[voter],
                choice,
                traceparent: None,
            };
            by_id.entry(id).or_insert(CastBallot { id, ballot });
        }
        let cast: Vec<_> = by_id.into_values().collect();
        let each_at_least_once: Vec<usize> = (0..cast.len()).collect();
        let duplicates = prop::collection::vec(0..cast.len(), 0..20);
        (Just(cast), duplicates, 1..10_usize).prop_flat_map(move |(cast, duplicates, batch)| {
            let all = [each_at_least_once.clone(), duplicates].concat();
            (Just(cast), Just(all).prop_shuffle(), Just(batch)).prop_map(|(cast, order, batch)| {
                Election {
                    cast,
                    deliveries: order.chunks(batch).map(<[usize]>::to_vec).collect(),
                }
            })
        })
    })
}

impl Election {
    /// The expected tally: of each voter, the ballot with the greatest id.
    fn expected_tally(&self) -> Vec<(String, i64)> {
        let mut newest: BTreeMap<VoterId, &CastBallot> = BTreeMap::new();
        for cast in &self.cast {
            let current = newest.entry(cast.ballot.voter).or_insert(cast);
            if cast.id > current.id {
                *current = cast;
            }
        }
        let mut tally: BTreeMap<String, i64> = BTreeMap::new();
        for cast in newest.values() {
            *tally.entry(cast.ballot.choice.to_string()).or_default() += 1;
        }
        tally.into_iter().collect()
    }

    /// Applies all batches to the store.
    async fn deliver_to(&self, store: &Store) {
        for batch in &self.deliveries {
            let ballots: Vec<_> = batch
                .iter()
                .map(|index| self.cast[*index].clone())
                .collect();
            store.upsert_ballots(&ballots, &[]).await.unwrap();
        }
    }
}

async fn any_order_ends_in_the_same_tally(storage: Storage) {
    let store = storage.store().await;
    // The generator is synchronous and the stores are not, so each election is generated before it is delivered.
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..48 {
        let election = elections().new_tree(&mut runner).unwrap().current();
        election.deliver_to(&store).await;
        assert_eq!(
            storage.count_votes().await,
            election.expected_tally(),
            "{election:#?}"
        );
        assert_counts_are_right(&storage).await;
        storage.execute("DELETE FROM votes").await;
    }
}
