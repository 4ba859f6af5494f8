//! Any duplication, delay and reordering of deliveries ends in the same tally.

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

/// What happened: voters who vote again and again, each ballot with its place.
#[derive(Clone, Debug)]
struct Election {
    cast: Vec<CastBallot>,
    /// Batches of indices into `cast`, as they reach the store: in any order, some of them several times.
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
        let mut places: BTreeMap<BallotId, CastBallot> = BTreeMap::new();
        for (voter, cats, ms, seq) in ballots {
            let choice = poll().choice(if cats { "a" } else { "b" }).unwrap();
            let id = BallotId { ms, seq };
            let ballot = Ballot {
                voter: voters[voter],
                choice,
                traceparent: None,
            };
            places.entry(id).or_insert(CastBallot { id, ballot });
        }
        let cast: Vec<_> = places.into_values().collect();
        let each_at_least_once: Vec<usize> = (0..cast.len()).collect();
        let again = prop::collection::vec(0..cast.len(), 0..20);
        (Just(cast), again, 1..10_usize).prop_flat_map(move |(cast, again, batch)| {
            let all = [each_at_least_once.clone(), again].concat();
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
    /// What must come out: of each voter the ballot with the greatest id.
    fn outcome(&self) -> Vec<(String, i64)> {
        let mut newest: BTreeMap<VoterId, &CastBallot> = BTreeMap::new();
        for cast in &self.cast {
            let standing = newest.entry(cast.ballot.voter).or_insert(cast);
            if cast.id > standing.id {
                *standing = cast;
            }
        }
        let mut tally: BTreeMap<String, i64> = BTreeMap::new();
        for cast in newest.values() {
            *tally.entry(cast.ballot.choice.to_string()).or_default() += 1;
        }
        tally.into_iter().collect()
    }

    async fn hold(&self, store: &Store) {
        for batch in &self.deliveries {
            let ballots: Vec<_> = batch
                .iter()
                .map(|index| self.cast[*index].clone())
                .collect();
            store.apply(&ballots, &[]).await.unwrap();
        }
    }
}

async fn any_order_ends_in_the_same_tally(storage: Storage) {
    let store = storage.store().await;
    // The generator is synchronous and the stores are not, so elections are drawn first and held then.
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..48 {
        let election = elections().new_tree(&mut runner).unwrap().current();
        election.hold(&store).await;
        assert_eq!(storage.counted().await, election.outcome(), "{election:#?}");
        assert_counts_are_right(&storage).await;
        storage.execute("DELETE FROM votes").await;
    }
}
