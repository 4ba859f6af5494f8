//! Reads the timeline from the store and publishes it for all viewers.

use std::{sync::Arc, time::Duration};

use poll::Poll;
use retry::Backoff;
use store::Store;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    tally_poller::{CurrentSnapshot, publish_timeline},
    timeline::Timeline,
};

/// Minimum interval between two reads: reading the timeline costs the store more than reading the tally.
const MIN_INTERVAL: Duration = Duration::from_secs(2);

/// Reads the timeline after each change of the tally and publishes it.
pub struct TimelinePoller {
    pub store: Store,
    pub poll: Arc<Poll>,
    pub snapshot: watch::Receiver<CurrentSnapshot>,
    pub publisher: watch::Sender<CurrentSnapshot>,
}

impl TimelinePoller {
    /// Publishes timelines until the service shuts down. Retries failed reads with backoff.
    pub async fn run(mut self, shutting_down: &CancellationToken) {
        let mut backoff = Backoff::default();
        while let Some(Ok(())) = shutting_down
            .run_until_cancelled(self.snapshot.changed())
            .await
        {
            let delay = match Timeline::read(&self.store, &self.poll).await {
                Ok(timeline) => {
                    backoff.reset();
                    publish_timeline(&self.publisher, timeline);
                    MIN_INTERVAL
                }
                Err(error) => {
                    let delay_ms = backoff.next_delay_ms();
                    tracing::warn!(%error, retry.in_ms = delay_ms, "reading the timeline failed; viewers see the last one");
                    self.snapshot.mark_changed();
                    Duration::from_millis(delay_ms)
                }
            };
            shutting_down.run_until_cancelled(sleep(delay)).await;
        }
    }
}
