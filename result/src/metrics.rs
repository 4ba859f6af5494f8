//! The metrics of the result service.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Registry};
use telemetry::metrics::ServiceMetrics;
use tokio::sync::watch;

use crate::tally_poller::CurrentSnapshot;

telemetry::metrics! {
    /// The metrics of the result service.
    pub struct ResultMetrics {
        /// Seconds since the current tally was read from the store, or since the start if none has been read yet.
        pub result_snapshot_age_seconds: Gauge,
        /// Connections to the live events.
        pub result_sse_connections: IntGauge,
        /// Changed tallies for connections to the live events, by outcome: sent, or skipped because the client read too slowly.
        pub result_sse_events_total: IntCounterVec["outcome"],
        /// Connections to the live events that were rejected because a limit of viewers was reached.
        pub result_sse_connections_rejected_total: IntCounter,
    }
}

impl ResultMetrics {
    /// Registers the metrics, with each counter of an outcome at 0.
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

    /// Computes the age of the snapshot at scrape time, so that it also grows while the store hangs.
    pub fn report_age(&self, snapshot: watch::Receiver<CurrentSnapshot>, service: &ServiceMetrics) {
        let (age, started) = (self.result_snapshot_age_seconds.clone(), Timestamp::now());
        service.on_scrape(move || {
            let read_at = snapshot
                .borrow()
                .as_ref()
                .map_or(started, |snapshot| snapshot.document.as_of);
            let since = Duration::try_from(Timestamp::now().duration_since(read_at));
            age.set(since.unwrap_or_default().as_secs_f64());
        });
    }
}
