//! The metrics of the worker.

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

/// Bucket bounds in seconds for the latency from the vote to the commit. During an outage of the store it reaches minutes.
const PIPELINE_SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0,
];

telemetry::metrics! {
    /// The metrics of the worker. Each worker reports the whole queue.
    pub struct WorkerMetrics {
        /// Processed ballots by outcome: applied, stale (a newer ballot by the same voter was already stored), dead_letter, retry (counted once for each failed attempt).
        pub worker_ballots_processed_total: IntCounterVec["outcome"],
        /// Ballots delivered to workers and not yet acknowledged.
        pub worker_stream_pending_entries: IntGauge,
        /// Ballots not yet delivered to a worker.
        pub worker_stream_lag_entries: IntGauge,
        /// Age in seconds of the oldest ballot that is not stored and acknowledged; 0 if there is none.
        pub worker_oldest_unacked_age_seconds: Gauge,
        /// Seconds from casting a vote to the commit that stored it.
        pub worker_end_to_end_latency_seconds: Histogram => PIPELINE_SECONDS,
        /// Time at which ballots were last stored and acknowledged, in seconds since the Unix epoch.
        pub worker_last_success_timestamp_seconds: Gauge,
        /// Ballots that were removed from the queue before they were stored.
        pub worker_ballots_lost_total: IntCounter,
        /// Votes by which the tally differs from the stored votes, compared at the start and once an hour.
        pub worker_tally_difference_votes: IntGauge,
        /// Seconds by which the queue's ids are ahead of this host's clock; 0 below 5 minutes.
        pub worker_queue_clock_ahead_seconds: Gauge,
        /// Ballots claimed from workers that had held them for too long.
        pub worker_ballots_reclaimed_total: IntCounter,
    }
}

impl WorkerMetrics {
    /// Registers the metrics, with each counter of an outcome at 0.
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
