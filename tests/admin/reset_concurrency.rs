//! `worker admin reset` while votes, workers and readers use the store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use poll::ballot::VoterId;
use sqlx::{Connection, PgConnection};
use store::Store;

use super::{admin, cast, start, stderr_of, stdout_of};
use crate::{
    harness::{
        app::App,
        eventually,
        skip::or_skip,
        storage::{Backend, Storage, on_both_storages, poll},
        viewer::wait_for_votes,
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    a_reset_during_voting_keeps_the_tally_correct,
    concurrent_resets_and_workers_do_not_deadlock,
}

async fn a_reset_during_voting_keeps_the_tally_correct(storage: Storage) {
    const VOTERS: usize = 4;
    let app = App::start(&storage, &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let voters: Vec<_> = (0..VOTERS)
        .map(|index| {
            let (vote, stop) = (app.vote.clone(), stop.clone());
            tokio::spawn(async move {
                let regular = Voter::new(&vote);
                while !stop.load(Ordering::Relaxed) {
                    regular.must_vote_for(["a", "b"][index % 2]).await;
                    Voter::new(&vote).must_vote_for("a").await;
                }
                // This vote comes after the last reset.
                regular.must_vote_for("b").await;
            })
        })
        .collect();
    let store = storage.store().await;
    for _ in 0..4 {
        let counted = async || store.counts().await.unwrap().votes;
        eventually("some votes", |counted: &u64| *counted > 20, counted).await;
        let reset = ["reset", "--confirm", "Cats or Dogs?"];
        let reset = admin(&storage, &reset, &[]);
        let ended = tokio::task::spawn_blocking(|| start(reset).wait_with_output().unwrap());
        let ended = ended.await.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        assert_counts_are_right_in_one_moment(&storage).await;
    }
    stop.store(true, Ordering::Relaxed);
    for voter in voters {
        voter.await.unwrap();
    }
    let queue = storage.queue().await;
    let drained = async || queue.consumer("observer").trim().await.unwrap().oldest;
    eventually("an empty queue", Option::is_none, drained).await;
    assert_counts_are_right(&storage).await;
    let counted = storage.count_votes().await;
    let b = counted.iter().find(|(option, _)| option == "b");
    assert_eq!(b, Some(&("b".to_owned(), i64::try_from(VOTERS).unwrap())));
    let all: Vec<u64> = ["a", "b"]
        .map(|key| {
            let found = counted.iter().find(|(option, _)| option == key);
            found.map_or(0, |(_, votes)| votes.unsigned_abs())
        })
        .into();
    wait_for_votes(&app.result, &all).await;
    app.stop().await;
}

/// Compares the tally with the votes in one statement, so it also holds while votes are stored.
async fn assert_counts_are_right_in_one_moment(storage: &Storage) {
    let differences = "SELECT coalesce(option, vote) AS option, coalesce(votes, 0) - coalesce(counted, 0) AS difference
         FROM (SELECT option, votes FROM tally WHERE votes <> 0) AS t
         FULL JOIN (SELECT vote, count(*) AS counted FROM votes GROUP BY vote) AS v ON option = vote
         WHERE coalesce(votes, 0) <> coalesce(counted, 0)";
    assert_eq!(storage.rows(differences).await, []);
}

async fn concurrent_resets_and_workers_do_not_deadlock(storage: Storage) {
    let regulars: Vec<_> = (0..20).map(|_| VoterId::random()).collect();
    storage.store().await;
    let workers = (0..4_u64).map(|worker| {
        let (regulars, config) = (regulars.clone(), storage.store_config());
        tokio::spawn(async move {
            let store = Store::open(&config).await.unwrap();
            for batch in 0..40 {
                let choice = ["a", "b"][usize::from((batch + worker) % 3 == 0)];
                let new = (0..20).map(|_| VoterId::random());
                let voters = regulars.iter().copied().chain(new);
                let ballots: Vec<_> = voters
                    .map(|voter| cast(voter, choice, batch * 4 + worker + 1))
                    .collect();
                // A deadlock would be an error here.
                store.upsert_ballots(&ballots, &[]).await.unwrap();
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    let store = storage.store().await;
    while workers.iter().any(|worker| !worker.is_finished()) {
        store.reset(&poll().id).await.unwrap();
        assert_counts_are_right_in_one_moment(&storage).await;
    }
    for worker in workers {
        worker.await.unwrap();
    }
    assert_counts_are_right(&storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_fails_while_a_transaction_reads_the_votes() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let store = storage.store().await;
    let ballot = [cast(VoterId::random(), "a", 1)];
    store.upsert_ballots(&ballot, &[]).await.unwrap();
    // A long export reads like this.
    let mut reader = PgConnection::connect(&storage.database_url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT id FROM votes")
        .execute(&mut *reading)
        .await
        .unwrap();
    let reset = ["reset", "--confirm", "Cats or Dogs?"];
    let stderr = stderr_of(&mut admin(&storage, &reset, &[]));
    assert!(
        stderr.contains("the votes are in use, perhaps by an export"),
        "{stderr}"
    );
    assert_eq!(store.counts().await.unwrap().votes, 1);
    reading.rollback().await.unwrap();
    stdout_of(&mut admin(&storage, &reset, &[]));
    assert_eq!(store.counts().await.unwrap().votes, 0);
}
