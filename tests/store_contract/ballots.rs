//! Stored ballots and dead letters.

use poll::ballot::VoterId;
use store::ErrorClass;

use super::{apply, cast, dead, votes};
use crate::harness::storage::{Storage, on_both_storages, poll};

on_both_storages! {
    the_newest_ballot_of_a_voter_counts,
    ids_are_compared_as_numbers,
    a_repeated_ballot_changes_nothing,
    within_a_batch_only_the_newest_ballot_counts,
    a_dead_letter_is_stored_once_with_its_reason,
    ballots_and_dead_letters_are_stored_atomically,
    an_empty_batch_is_no_error,
}

async fn the_newest_ballot_of_a_voter_counts(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    assert_eq!(apply(&store, &[cast(voter, "a", 20, 0)]).await, (1, 0));
    assert_eq!(
        apply(&store, &[cast(voter, "b", 10, 5)]).await,
        (0, 1),
        "an older ballot arrives late"
    );
    assert_eq!(votes(&store).await, (1, 0));
    assert_eq!(apply(&store, &[cast(voter, "b", 20, 1)]).await, (1, 0));
    assert_eq!(votes(&store).await, (0, 1));
    assert_eq!(storage.count_votes().await, [("b".to_owned(), 1)]);
}

async fn ids_are_compared_as_numbers(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    apply(&store, &[cast(voter, "a", 999, 9)]).await;
    assert_eq!(
        apply(&store, &[cast(voter, "b", 1000, 9)]).await,
        (1, 0),
        "as text, 1000 is below 999"
    );
    assert_eq!(
        apply(&store, &[cast(voter, "a", 1000, 10)]).await,
        (1, 0),
        "as text, 10 is below 9"
    );
    assert_eq!(votes(&store).await, (1, 0));
}

async fn a_repeated_ballot_changes_nothing(storage: Storage) {
    let store = storage.store().await;
    let ballot = cast(VoterId::random(), "a", 10, 0);
    for expected in [(1, 0), (0, 1), (0, 1)] {
        assert_eq!(apply(&store, std::slice::from_ref(&ballot)).await, expected);
        assert_eq!(votes(&store).await, (1, 0));
    }
}

async fn within_a_batch_only_the_newest_ballot_counts(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    let batch = [
        cast(voter, "a", 10, 0),
        cast(voter, "b", 12, 0),
        cast(voter, "a", 11, 0),
        cast(VoterId::random(), "a", 1, 0),
    ];
    assert_eq!(apply(&store, &batch).await, (4, 0));
    assert_eq!(votes(&store).await, (1, 1));
}

async fn a_dead_letter_is_stored_once_with_its_reason(storage: Storage) {
    let store = storage.store().await;
    let letters = [
        dead(9, "first"),
        dead(u64::MAX, "with an id above the range of SQL integers"),
    ];
    store.upsert_ballots(&[], &letters).await.unwrap();
    store
        .upsert_ballots(&[], &[dead(9, "delivered again")])
        .await
        .unwrap();
    assert_eq!(store.dead_letters().await.unwrap(), letters);
}

async fn ballots_and_dead_letters_are_stored_atomically(storage: Storage) {
    let store = storage.store().await;
    storage
        .execute("ALTER TABLE dead_letters RENAME TO hidden")
        .await;
    let ballot = [cast(VoterId::random(), "a", 10, 0)];
    let error = store
        .upsert_ballots(&ballot, &[dead(9, "poison")])
        .await
        .unwrap_err();
    assert_eq!(
        error.class,
        ErrorClass::Transient,
        "a missing table is an error of the operator, not of the ballot"
    );
    assert_eq!(votes(&store).await, (0, 0));
    storage
        .execute("ALTER TABLE hidden RENAME TO dead_letters")
        .await;
    store
        .upsert_ballots(&ballot, &[dead(9, "poison")])
        .await
        .unwrap();
    assert_eq!(votes(&store).await, (1, 0));
    assert_eq!(store.dead_letters().await.unwrap().len(), 1);
}

async fn an_empty_batch_is_no_error(storage: Storage) {
    let store = storage.store().await;
    assert_eq!(apply(&store, &[]).await, (0, 0));
    assert_eq!(store.timeline_extent(&poll().id).await.unwrap(), None);
}
