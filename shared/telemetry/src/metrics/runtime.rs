//! Metrics of the tokio runtime.

use std::time::Duration;

use prometheus::{Counter, IntCounter, IntGauge};

crate::metrics! {
    /// Metrics of the tokio runtime of a process. Services in one process share the runtime.
    pub struct RuntimeMetrics {
        /// Worker threads of the runtime.
        pub tokio_runtime_workers: IntGauge,
        /// Tasks that have not finished.
        pub tokio_runtime_alive_tasks: IntGauge,
        /// Tasks in the global queue of the runtime. If more than a few stay there for a long time, there are too few threads.
        pub tokio_runtime_queued_tasks: IntGauge,
        /// Busy time of all worker threads in seconds. The maximum rate is the number of threads.
        pub tokio_runtime_busy_seconds_total: Counter,
        /// Number of times a worker thread parked for lack of work.
        pub tokio_runtime_parks_total: IntCounter,
    }
}

impl RuntimeMetrics {
    pub(super) fn sample(&self, runtime: &tokio::runtime::RuntimeMetrics) {
        let workers = runtime.num_workers();
        self.tokio_runtime_workers.set(gauge_value(workers));
        self.tokio_runtime_alive_tasks
            .set(gauge_value(runtime.num_alive_tasks()));
        self.tokio_runtime_queued_tasks
            .set(gauge_value(runtime.global_queue_depth()));
        let busy: Duration = (0..workers)
            .map(|worker| runtime.worker_total_busy_duration(worker))
            .sum();
        let busy = busy.as_secs_f64() - self.tokio_runtime_busy_seconds_total.get();
        self.tokio_runtime_busy_seconds_total.inc_by(busy.max(0.0));
        let parks: u64 = (0..workers)
            .map(|worker| runtime.worker_park_count(worker))
            .sum();
        self.tokio_runtime_parks_total
            .inc_by(parks.saturating_sub(self.tokio_runtime_parks_total.get()));
    }
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
