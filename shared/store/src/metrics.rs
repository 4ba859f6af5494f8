//! Metrics of a service's database.

use prometheus::{Histogram, HistogramTimer, IntCounterVec, IntGaugeVec, Registry};

use super::{ErrorClass, StoreError};
use telemetry::metrics::LATENCY_SECONDS;

telemetry::metrics! {
    /// Metrics of the database of a service.
    pub struct StoreMetrics {
        /// Connections of this process to the database, by state: idle or used.
        pub db_pool_connections: IntGaugeVec["state"],
        /// Time that transactions waited for a connection, in seconds.
        pub db_pool_wait_seconds: Histogram => LATENCY_SECONDS,
        /// Failed database operations by class: transient (unreachable, busy or not set up), timeout, permanent (the data is rejected).
        pub db_errors_total: IntCounterVec["class"],
    }
}

impl StoreMetrics {
    /// Creates the metrics with all label values at 0.
    #[must_use]
    pub fn for_classes(registry: &Registry) -> Self {
        let metrics = Self::new(registry);
        for class in ErrorClass::ALL {
            metrics.db_errors_total.with_label_values(&[class.label()]);
        }
        metrics.set_connections(0, 0);
        metrics
    }

    pub(super) fn set_connections(&self, all: u32, idle: usize) {
        let idle = i64::try_from(idle).unwrap_or(i64::MAX);
        let used = i64::from(all).saturating_sub(idle).max(0);
        for (state, count) in [("idle", idle), ("used", used)] {
            self.db_pool_connections
                .with_label_values(&[state])
                .set(count);
        }
    }

    /// Starts the timer of a wait for a connection. Dropping it records the time, also of a wait that is cancelled.
    pub(super) fn start_wait_timer(&self) -> HistogramTimer {
        self.db_pool_wait_seconds.start_timer()
    }

    pub(super) fn record_error<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.inspect_err(|error| {
            self.db_errors_total
                .with_label_values(&[error.class.label()])
                .inc();
        })
    }
}
