//! What a service sees of its database.

use prometheus::{Histogram, HistogramTimer, IntCounterVec, IntGaugeVec, Registry};

use super::{ErrorClass, StoreError};
use telemetry::metrics::LATENCY_SECONDS;

telemetry::metrics! {
    /// What a service measures of its database.
    pub struct StoreMetrics {
        /// Connections of this process to the database, by state: idle, or used.
        pub db_pool_connections: IntGaugeVec["state"],
        /// Seconds that work waited for a connection.
        pub db_pool_wait_seconds: Histogram => LATENCY_SECONDS,
        /// Work that the database did not do, by class: transient (it is away, busy or not set up), timeout, permanent (it refuses the data).
        pub db_errors_total: IntCounterVec["class"],
    }
}

impl StoreMetrics {
    /// The metrics, with everything that can be counted at 0.
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

    /// Measures a wait for a connection, also one that is given up: until the timer is dropped.
    pub(super) fn waiting(&self) -> HistogramTimer {
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
