//! Keeps the one snapshot fresh from which everybody is answered.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use poll::Poll;
use retry::Backoff;
use store::{Changes, ErrorClass, Store, StoreError, Tally};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{counting::Counting, snapshot::Snapshot};

/// The snapshot of now, or nothing before the store has answered once.
pub type Latest = Option<Arc<Snapshot>>;

/// Changes that come closer together are shown together.
const AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// And the longer the more people watch, for each of them has to be told: a replica tells 20,000 a second at most, which
/// takes a small part of a core, and has time left for pages and for new viewers.
const PER_VIEWER: Duration = Duration::from_micros(50);
/// However many watch, for them it is still live.
const AT_LEAST_WITH_NEWS: Duration = Duration::from_secs(1);
/// How often to look although nothing was said to have changed: a lost notification costs so much.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);
/// Viewers are told when the tally they see is older.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// Reads the tally when it has changed, and publishes it, until the service closes.
///
/// # Errors
/// The store was made by a newer version of this program.
pub async fn keep_fresh(
    store: &Store,
    poll: &Poll,
    publisher: &watch::Sender<Latest>,
    shutting_down: &CancellationToken,
) -> Result<(), StoreError> {
    let mut changes = store.changes();
    let mut backoff = Backoff::default();
    let mut counting = Counting::new();
    let mut last: Option<(Tally, Timestamp)> = None;
    while !shutting_down.is_cancelled() {
        let prepared = Box::pin(store.ensure_migrated());
        let read = match shutting_down.run_until_cancelled(prepared).await {
            Some(Ok(())) => store.tally().await,
            Some(Err(error)) if error.class == ErrorClass::Permanent => return Err(error),
            Some(Err(error)) => Err(error),
            None => break,
        };
        let now = Timestamp::now();
        let wait = match read {
            Ok(tally) => {
                backoff.reset();
                counting.look_when_due(store).await;
                last = Some((tally, now));
                pause(publisher.receiver_count())
            }
            Err(error) => {
                let wait = backoff.next_delay();
                tracing::warn!(%error, ?wait, "the tally cannot be read; viewers see the last one");
                wait
            }
        };
        if let Some((tally, as_of)) = &last {
            let age = Duration::try_from(now.duration_since(*as_of)).unwrap_or_default();
            let (stale, counting) = (age > STALE_AFTER, counting.document());
            let snapshot = Snapshot::new(poll, tally, *as_of, stale, counting, poll.schedule.now());
            publish(publisher, snapshot);
        }
        shutting_down.run_until_cancelled(sleep(wait)).await;
        shutting_down
            .run_until_cancelled(something_new(&mut changes, poll))
            .await;
    }
    Ok(())
}

/// How long viewers rest from changes.
fn pause(viewers: usize) -> Duration {
    let telling = PER_VIEWER.saturating_mul(u32::try_from(viewers).unwrap_or(u32::MAX));
    telling.clamp(AT_MOST_EVERY, AT_LEAST_WITH_NEWS)
}

/// Waits for a change of the counts, for the poll to open or close, or for the time to look anyway.
async fn something_new(changes: &mut Changes, poll: &Poll) {
    tokio::select! {
        // A failure to listen is seen by reading the tally next, which backs off.
        _ = changes.changed() => {}
        () = poll.schedule.wait_for_change() => {}
        () = sleep(AT_LEAST_EVERY) => {}
    }
}

/// Wakes the viewers only where there is something new for them to see.
pub fn publish(publisher: &watch::Sender<Latest>, mut snapshot: Snapshot) {
    publisher.send_if_modified(|latest| {
        let is_news = latest.as_ref().is_none_or(|shown| shown.id != snapshot.id);
        let before = latest.as_ref().map_or(0, |shown| shown.change);
        snapshot.change = before + u64::from(is_news);
        *latest = Some(Arc::new(snapshot));
        is_news
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_people_watch_the_more_changes_are_shown_together() {
        assert_eq!(pause(1), Duration::from_millis(100));
        assert_eq!(pause(9000), Duration::from_millis(450));
        assert_eq!(pause(1_000_000), Duration::from_secs(1));
    }
}
