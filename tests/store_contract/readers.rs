//! Changes and progress, of which readers of the store are informed.

use std::time::Duration;

use jiff::Timestamp;
use poll::ballot::VoterId;
use store::WorkerProgress;
use tokio::time::timeout;

use super::{apply, cast};
use crate::harness::{
    TIMEOUT,
    storage::{Storage, on_both_storages},
};

on_both_storages! {
    subscribers_are_notified_of_changes,
    workers_report_their_progress,
}

async fn subscribers_are_notified_of_changes(storage: Storage) {
    let store = storage.store().await;
    let mut changes = storage.store().await.changes();
    timeout(TIMEOUT, changes.changed())
        .await
        .expect("a notification when the subscription starts")
        .unwrap();
    for ms in 1..4 {
        apply(&store, &[cast(VoterId::random(), "a", ms, 0)]).await;
        timeout(TIMEOUT, changes.changed())
            .await
            .expect("a notification of the change")
            .unwrap();
    }
}

async fn workers_report_their_progress(storage: Storage) {
    let store = storage.store().await;
    assert_eq!(store.progress().await.unwrap(), []);
    let report = async |worker: &str, waits| {
        let progress = WorkerProgress {
            worker: worker.into(),
            last_batch_at: Some(Timestamp::now()).filter(|_| waits > 0),
            oldest_ballot_age: Duration::from_millis(waits),
        };
        store.report_progress(&progress).await.unwrap();
    };
    let waits = async || {
        let reports = store.progress().await.unwrap();
        assert!(reports.iter().all(|report| report.age < TIMEOUT));
        let mut waits: Vec<_> = reports
            .iter()
            .map(|report| report.oldest_ballot_age.as_millis())
            .collect();
        waits.sort_unstable();
        waits
    };
    report("one", 0).await;
    report("other", 1234).await;
    assert_eq!(waits().await, [0, 1234]);
    report("one", 7).await;
    assert_eq!(waits().await, [7, 1234], "one row per worker");
    storage.make_reports_old().await;
    report("one", 8).await;
    assert_eq!(
        waits().await,
        [8],
        "reports of workers that stopped long ago are deleted"
    );
}
