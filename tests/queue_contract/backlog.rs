//! The backlog and the last id.

use super::{enqueue, read};
use crate::harness::storage::{READ_TIMEOUT, Storage, on_all_storages};

on_all_storages! {
    the_backlog_is_reported,
    the_backlog_is_reported_before_the_first_worker_starts,
    the_last_id_is_reported,
}

async fn the_backlog_is_reported(storage: Storage) {
    let queue = storage.queue().await;
    let mut consumer = queue.consumer("reader");
    consumer.read(1, READ_TIMEOUT).await.unwrap();
    let sent = enqueue(&queue, 5).await;
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag, backlog.oldest),
        (0, 5, Some(sent[0]))
    );
    read(&mut consumer, 2).await;
    let backlog = consumer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag, backlog.oldest),
        (2, 3, Some(sent[0]))
    );
    consumer.acknowledge(&sent[..2]).await.unwrap();
    assert_eq!(consumer.trim().await.unwrap().oldest, Some(sent[2]));
}

async fn the_backlog_is_reported_before_the_first_worker_starts(storage: Storage) {
    let queue = storage.queue().await;
    let mut observer = queue.consumer("observer");
    assert!(observer.trim().await.unwrap().is_empty());
    let sent = enqueue(&queue, 2).await;
    let backlog = observer.trim().await.unwrap();
    assert_eq!(
        (backlog.pending, backlog.lag, backlog.oldest),
        (0, 2, Some(sent[0]))
    );
}

async fn the_last_id_is_reported(storage: Storage) {
    let queue = storage.queue().await;
    assert_eq!(queue.last_id().await.unwrap(), None);
    let sent = enqueue(&queue, 3).await;
    assert_eq!(queue.last_id().await.unwrap(), Some(sent[2]));
    let mut consumer = queue.consumer("reader");
    assert_eq!(read(&mut consumer, 10).await.len(), 3);
    assert_eq!(
        queue.last_id().await.unwrap(),
        Some(sent[2]),
        "pending entries count too"
    );
    consumer.acknowledge(&sent).await.unwrap();
    consumer.trim().await.unwrap();
    assert_eq!(queue.last_id().await.unwrap(), None);
}
