//! What the worker measures.

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

/// Upper bounds of the seconds from a voter's click to the commit: a worker that waited for an outage takes minutes.
const PIPELINE_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

telemetry::metrics! {
    /// What a worker measures. Every worker tells of the whole queue.
    pub struct WorkerMetrics {
        /// Entries of the queue, by what became of them: applied, stale (a newer ballot of the voter was stored before), dead_letter, retry (counted once for each failed attempt).
        pub worker_ballots_processed_total: IntCounterVec["outcome"],
        /// Ballots in the hands of workers.
        pub worker_stream_pending_entries: IntGauge,
        /// Ballots that no worker has been handed yet.
        pub worker_stream_lag_entries: IntGauge,
        /// Seconds since the oldest ballot that is not stored and acknowledged was cast; 0 when all are.
        pub worker_oldest_unacked_age_seconds: Gauge,
        /// Seconds from the moment a ballot was cast to the commit that stored it.
        pub worker_end_to_end_latency_seconds: Histogram => PIPELINE_SECONDS,
        /// When ballots were last stored and acknowledged, in seconds since the Unix epoch.
        pub worker_last_success_timestamp_seconds: Gauge,
        /// Ballots that were removed from the queue before they were stored.
        pub worker_ballots_lost_total: IntCounter,
        /// Votes by which the tally differs from the votes themselves, as compared at the start and once an hour.
        pub worker_tally_difference_votes: IntGauge,
        /// Seconds by which the ids that the queue gives are ahead of this machine's clock; 0: by less than 5 minutes.
        pub worker_queue_clock_ahead_seconds: Gauge,
        /// Ballots taken over from workers that had held them too long.
        pub worker_ballots_reclaimed_total: IntCounter,
    }
}

impl WorkerMetrics {
    /// The metrics, with everything that can be counted at 0.
    #[must_use]
    pub fn for_outcomes(registry: &Registry) -> Self {
        let metrics = Self::new(registry);
        for outcome in ["applied", "stale", "dead_letter", "retry"] {
            metrics
                .worker_ballots_processed_total
                .with_label_values(&[outcome]);
        }
        metrics
    }
}
