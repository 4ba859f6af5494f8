//! The tally and the timeline are always those of the votes.

use std::time::Duration;

use jiff::Timestamp;
use poll::ballot::VoterId;
use store::Store;

use super::{apply, assert_counts_are_right, cast, votes};
use crate::harness::storage::{POLL_ID, Storage, on_both_storages, poll};

on_both_storages! {
    the_tally_and_the_timeline_follow_every_change,
    concurrent_writers_end_in_the_correct_tally,
    the_tally_follows_direct_changes_of_the_votes,
}

async fn the_tally_and_the_timeline_follow_every_change(storage: Storage) {
    let store = storage.store().await;
    let voter = VoterId::random();
    apply(
        &store,
        &[
            cast(voter, "a", 15_000, 0),
            cast(VoterId::random(), "a", 17_000, 0),
        ],
    )
    .await;
    apply(&store, &[cast(voter, "b", 31_000, 0)]).await;
    assert_timeline(&store, 10, &[(10_000, "a", 1), (30_000, "b", 1)]).await;
    assert_timeline(&store, 60, &[(0, "a", 1), (0, "b", 1)]).await;
    let extent = store
        .timeline_extent(&poll().id)
        .await
        .unwrap()
        .map(|(first, last)| (first.as_second(), last.as_second()));
    assert_eq!(extent, Some((10, 30)));
    let tally = store.tally(&poll().id).await.unwrap();
    let last: Vec<_> = tally.0.iter().map(|count| count.last_cast_ms).collect();
    assert_eq!(last, [17_000, 31_000]);
}

async fn assert_timeline(store: &Store, step: u64, expected: &[(i64, &str, i64)]) {
    let points = store
        .timeline(&poll().id, Timestamp::UNIX_EPOCH, Duration::from_secs(step))
        .await
        .unwrap();
    let points: Vec<_> = points
        .iter()
        .map(|point| (point.bucket, point.option.as_str(), point.votes))
        .collect();
    assert_eq!(points, expected);
}

async fn concurrent_writers_end_in_the_correct_tally(storage: Storage) {
    const WRITERS: u64 = 6;
    const BATCHES: u64 = 15;
    let voters: Vec<_> = (0..40).map(|_| VoterId::random()).collect();
    storage.store().await;
    // Every writer changes the votes of the same voters, in a different order of batches.
    let writers = (0..WRITERS).map(|writer| {
        let (voters, config) = (voters.clone(), storage.store_config());
        tokio::spawn(async move {
            let store = Store::open(&config).await.unwrap();
            for batch in 0..BATCHES {
                let choice = |voter: usize| {
                    if (voter as u64 + writer + batch).is_multiple_of(3) {
                        "a"
                    } else {
                        "b"
                    }
                };
                let ms = 1 + (batch * 7 + writer * 5) % 50;
                let ballots: Vec<_> = voters
                    .iter()
                    .enumerate()
                    .map(|(index, voter)| cast(*voter, choice(index), ms, writer))
                    .collect();
                // A deadlock would be an error here.
                store.upsert_ballots(&ballots, &[]).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_counts_are_right(&storage).await;
    assert_eq!(
        storage
            .count_votes()
            .await
            .iter()
            .map(|(_, votes)| votes)
            .sum::<i64>(),
        40
    );
}

async fn the_tally_follows_direct_changes_of_the_votes(storage: Storage) {
    let store = storage.store().await;
    apply(
        &store,
        &[
            cast(VoterId::random(), "a", 10_000, 0),
            cast(VoterId::random(), "b", 10_000, 1),
        ],
    )
    .await;
    // The statements of the original worker.
    storage
        .execute(&format!(
            "INSERT INTO votes (id, poll, vote) VALUES ('1b5d3a', '{POLL_ID}', 'a')"
        ))
        .await;
    assert_eq!(votes(&store).await, (2, 1));
    storage
        .execute("UPDATE votes SET vote = 'b' WHERE id = '1b5d3a'")
        .await;
    assert_eq!(votes(&store).await, (1, 2));
    assert_counts_are_right(&storage).await;
    storage.execute("DELETE FROM votes WHERE vote = 'b'").await;
    assert_eq!(votes(&store).await, (1, 0));
    assert_counts_are_right(&storage).await;
}
