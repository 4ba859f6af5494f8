//! Reads the tally from the store and publishes it as a snapshot for all viewers.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use poll::Poll;
use retry::Backoff;
use store::{Changes, ErrorClass, Store, StoreError, Tally};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{counting::CountingDelay, snapshot::Snapshot, timeline::Timeline};

/// The current snapshot; `None` until the tally has been read once.
pub type CurrentSnapshot = Option<Arc<Snapshot>>;

/// Minimum interval between two published changes.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Time per viewer that is added to the interval, because each change is sent to each viewer: a replica sends at most 20,000 events
/// per second, which takes a small part of a core and leaves capacity for pages and new viewers.
const INTERVAL_PER_VIEWER: Duration = Duration::from_micros(50);
/// Maximum interval between two published changes, at which the result is still live.
const MAX_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of reads without a notification, which limits the delay after a lost notification.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Age of the tally after which it is marked as stale.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// Reads the tally after each change and publishes it.
pub struct TallyPoller {
    store: Store,
    poll: Arc<Poll>,
    publisher: watch::Sender<CurrentSnapshot>,
    counting: CountingDelay,
    /// The last tally, and the time at which it was read.
    last: Option<(Tally, Timestamp)>,
}

impl TallyPoller {
    /// A poller that has not read the tally yet.
    pub fn new(store: Store, poll: Arc<Poll>, publisher: watch::Sender<CurrentSnapshot>) -> Self {
        Self {
            store,
            poll,
            publisher,
            counting: CountingDelay::new(),
            last: None,
        }
    }

    /// Publishes snapshots until the service shuts down. Retries failed reads with backoff.
    ///
    /// # Errors
    /// The store was migrated by a newer version of this program.
    pub async fn run(mut self, shutting_down: &CancellationToken) -> Result<(), StoreError> {
        let mut changes = self.store.changes();
        let mut backoff = Backoff::default();
        while !shutting_down.is_cancelled() {
            let migrated = Box::pin(self.store.ensure_migrated(&self.poll.id));
            let read = match shutting_down.run_until_cancelled(migrated).await {
                Some(Ok(())) => self.store.tally(&self.poll.id).await,
                Some(Err(error)) if error.class == ErrorClass::Permanent => return Err(error),
                Some(Err(error)) => Err(error),
                None => break,
            };
            let now = Timestamp::now();
            let delay = match read {
                Ok(tally) => {
                    backoff.reset();
                    self.counting.refresh_if_due(&self.store).await;
                    self.last = Some((tally, now));
                    publish_interval(self.publisher.receiver_count())
                }
                Err(error) => {
                    let delay_ms = backoff.next_delay_ms();
                    tracing::warn!(%error, retry.in_ms = delay_ms, "reading the tally failed; viewers see the last one");
                    Duration::from_millis(delay_ms)
                }
            };
            self.publish_last(now);
            shutting_down.run_until_cancelled(sleep(delay)).await;
            shutting_down
                .run_until_cancelled(wait_for_change(&mut changes, &self.poll))
                .await;
        }
        Ok(())
    }

    /// Publishes the last tally, if there is one, as seen at this time.
    fn publish_last(&self, now: Timestamp) {
        let Some((tally, as_of)) = &self.last else {
            return;
        };
        let age = Duration::try_from(now.duration_since(*as_of)).unwrap_or_default();
        let (stale, counting) = (age > STALE_AFTER, self.counting.document());
        let schedule_now = self.poll.schedule.now();
        let snapshot = Snapshot::new(&self.poll, tally, *as_of, stale, counting, schedule_now);
        publish(&self.publisher, snapshot);
    }
}

/// The interval between two published changes for this number of viewers.
fn publish_interval(viewers: usize) -> Duration {
    let viewers = u32::try_from(viewers).unwrap_or(u32::MAX);
    let interval = INTERVAL_PER_VIEWER.saturating_mul(viewers);
    interval.clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// Waits until the counts change, the poll opens or closes, or the poll interval has passed.
async fn wait_for_change(changes: &mut Changes, poll: &Poll) {
    tokio::select! {
        // A failed subscription shows in the next read of the tally, which backs off.
        _ = changes.changed() => {}
        () = poll.schedule.wait_for_change() => {}
        () = sleep(POLL_INTERVAL) => {}
    }
}

/// Publishes a snapshot. Notifies the viewers only if something that they see has changed.
pub fn publish(publisher: &watch::Sender<CurrentSnapshot>, mut snapshot: Snapshot) {
    publisher.send_if_modified(|current| {
        let is_changed = current.as_ref().is_none_or(|shown| shown.id != snapshot.id);
        if let Some(shown) = current {
            snapshot.sequence = shown.sequence;
            snapshot.timeline.clone_from(&shown.timeline);
            if !is_changed {
                snapshot.pages = shown.pages.clone();
            }
        }
        snapshot.sequence += u64::from(is_changed);
        *current = Some(Arc::new(snapshot));
        is_changed
    });
}

/// Publishes the timeline with the current snapshot. Does not notify the viewers, because it is not part of their events.
pub fn publish_timeline(publisher: &watch::Sender<CurrentSnapshot>, timeline: Timeline) {
    publisher.send_if_modified(|current| {
        if let Some(shown) = current
            && shown
                .timeline
                .as_ref()
                .is_none_or(|old| old.id != timeline.id)
        {
            *shown = Arc::new(Snapshot {
                timeline: Some(Arc::new(timeline)),
                pages: Arc::default(),
                ..Snapshot::clone(shown)
            });
        }
        false
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::tests::snapshot_of_votes;

    fn timeline(id: &str) -> Timeline {
        Timeline {
            chart: None,
            json: "[]".into(),
            id: id.into(),
        }
    }

    #[test]
    fn pages_are_rendered_again_only_if_the_tally_or_the_timeline_changed() {
        let (publisher, mut receiver) = watch::channel::<CurrentSnapshot>(None);
        let mut last: CurrentSnapshot = None;
        let mut expect = |what: &str, is_new_event: bool, are_new_pages: bool| {
            assert_eq!(receiver.has_changed().unwrap(), is_new_event, "{what}");
            let current = receiver.borrow_and_update().clone().unwrap();
            let is_same = |last: Arc<Snapshot>| Arc::ptr_eq(&last.pages, &current.pages);
            let are_same_pages = last.take().is_some_and(is_same);
            assert_eq!(are_same_pages, !are_new_pages, "{what}");
            last = Some(current.clone());
            current
                .timeline
                .as_ref()
                .map(|timeline| timeline.id.clone())
        };
        let read_at = |second| Timestamp::from_second(second).unwrap();
        publish(&publisher, snapshot_of_votes(1, read_at(10)));
        assert_eq!(expect("first tally", true, true), None);
        publish(&publisher, snapshot_of_votes(1, read_at(12)));
        assert_eq!(expect("same tally", false, false), None);
        publish_timeline(&publisher, timeline("1"));
        assert_eq!(expect("first timeline", false, true).as_deref(), Some("1"));
        publish_timeline(&publisher, timeline("1"));
        assert_eq!(expect("same timeline", false, false).as_deref(), Some("1"));
        publish(&publisher, snapshot_of_votes(2, read_at(13)));
        assert_eq!(expect("other tally", true, true).as_deref(), Some("1"));
        publish_timeline(&publisher, timeline("2"));
        assert_eq!(expect("other timeline", false, true).as_deref(), Some("2"));
    }

    #[test]
    fn the_publish_interval_grows_with_the_number_of_viewers() {
        assert_eq!(publish_interval(1), Duration::from_millis(100));
        assert_eq!(publish_interval(9000), Duration::from_millis(450));
        assert_eq!(publish_interval(1_000_000), Duration::from_secs(1));
    }
}
