//! The polls whose ballots this worker can count.

use std::time::Duration;

use poll::{KnownPolls, Poll};
use store::{Store, StoreError};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::replay::Replay;

/// Interval between two checks whether the tables are migrated.
const MIGRATION_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Interval between two searches for dead letters whose poll has become known.
const INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of dead letters that are counted in one transaction.
const MAX_BATCH_SIZE: usize = 1000;

/// Returns the polls that are recorded in the store, and the poll of the settings.
///
/// # Errors
/// The store failed.
pub async fn load(store: &Store, settings_poll: &Poll) -> Result<KnownPolls, StoreError> {
    let mut polls = KnownPolls::new(settings_poll);
    for recorded in store.polls().await? {
        polls.add(recorded.poll.id, recorded.poll.options);
    }
    Ok(polls)
}

/// Records the poll of the settings in the store, and counts dead letters that waited for a poll, until the service shuts down.
pub async fn maintain(store: &Store, settings_poll: &Poll, shutting_down: &CancellationToken) {
    while !shutting_down.is_cancelled() {
        // The processors migrate the tables, and report why that fails.
        let interval = if store.is_migrated() {
            if let Err(error) = record_and_count(store, settings_poll).await {
                tracing::warn!(%error, retry.in_ms = INTERVAL.as_millis(), "recording the poll failed");
            }
            INTERVAL
        } else {
            MIGRATION_POLL_INTERVAL
        };
        shutting_down.run_until_cancelled(sleep(interval)).await;
    }
}

async fn record_and_count(store: &Store, settings_poll: &Poll) -> Result<(), StoreError> {
    store.record_poll(settings_poll).await?;
    let letters = store.countable_dead_letters().await?;
    if letters.is_empty() {
        return Ok(());
    }
    let polls = load(store, settings_poll).await?;
    let mut replay = Replay::default();
    replay.run(&letters, &polls, store, MAX_BATCH_SIZE).await?;
    // Those that are no valid ballots get their new reason.
    store.reject_waiting(&replay.rejected).await?;
    tracing::info!(
        ballots.counted = replay.done.replayed,
        ballots.rejected = replay.rejected.len(),
        "counted ballots that waited for their poll"
    );
    Ok(())
}
