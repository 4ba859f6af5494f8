//! What the result service measures.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Registry};
use telemetry::metrics::ServiceMetrics;
use tokio::sync::watch;

use crate::refresher::Latest;

telemetry::metrics! {
    /// What the result service measures.
    pub struct ResultMetrics {
        /// Seconds since the tally that viewers see was read from the store, or since the start where none has been read yet.
        pub result_snapshot_age_seconds: Gauge,
        /// Viewers that are connected to the live events.
        pub result_sse_connections: IntGauge,
        /// Changed tallies for viewers of the live events, by outcome: sent, or skipped for a viewer that took in the one before too slowly.
        pub result_sse_events_total: IntCounterVec["outcome"],
        /// Viewers that were refused because too many were connected.
        pub result_sse_connections_rejected_total: IntCounter,
    }
}

impl ResultMetrics {
    /// The metrics, with everything that can be counted at 0.
    #[must_use]
    pub fn for_outcomes(registry: &Registry) -> Self {
        let metrics = Self::new(registry);
        for outcome in ["sent", "skipped"] {
            metrics
                .result_sse_events_total
                .with_label_values(&[outcome]);
        }
        metrics
    }

    /// The age is that of the moment when it is asked for: while the store hangs, nothing else happens.
    pub fn tell_age_of(&self, latest: watch::Receiver<Latest>, service: &ServiceMetrics) {
        let (age, started) = (self.result_snapshot_age_seconds.clone(), Timestamp::now());
        service.on_scrape(move || {
            let read_at = latest
                .borrow()
                .as_ref()
                .map_or(started, |snapshot| snapshot.document.as_of);
            let since = Duration::try_from(Timestamp::now().duration_since(read_at));
            age.set(since.unwrap_or_default().as_secs_f64());
        });
    }
}
