//! What the asynchronous runtime says of itself.

use std::time::Duration;

use prometheus::{Counter, IntCounter, IntGauge};

crate::metrics! {
    /// What the asynchronous runtime of a process measures; services in one process share it.
    pub struct RuntimeMetrics {
        /// Threads that carry out the runtime's tasks.
        pub tokio_runtime_workers: IntGauge,
        /// Tasks that have not ended.
        pub tokio_runtime_alive_tasks: IntGauge,
        /// Tasks that wait in the queue which all threads share: more than a few for long means that there are too few threads.
        pub tokio_runtime_queued_tasks: IntGauge,
        /// Seconds that threads were busy, all together: as many a second as there are threads is all there is.
        pub tokio_runtime_busy_seconds_total: Counter,
        /// How often a thread went to sleep for want of work.
        pub tokio_runtime_parks_total: IntCounter,
    }
}

impl RuntimeMetrics {
    pub(super) fn sample(&self, runtime: &tokio::runtime::RuntimeMetrics) {
        let workers = runtime.num_workers();
        self.tokio_runtime_workers.set(as_gauge(workers));
        self.tokio_runtime_alive_tasks
            .set(as_gauge(runtime.num_alive_tasks()));
        self.tokio_runtime_queued_tasks
            .set(as_gauge(runtime.global_queue_depth()));
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

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
