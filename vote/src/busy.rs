//! Whether this process itself has too much to do: then what is slow says nothing of others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// How often is measured how busy this process is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A thread that works for this part of the time has too much to do. Where the machine allows the process less than a core
/// for each thread, not all of them can.
const BUSY: f64 = 0.9;

/// Whether it has, as last measured. Cloning is cheap; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Whether it has.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Measures how busy this process is, until the service closes.
    pub async fn watch(&self, closing: &CancellationToken) {
        let runtime = Handle::current().metrics();
        let busy =
            || (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker));
        let (mut since, mut before) = (Instant::now(), busy().collect::<Vec<_>>());
        while closing
            .run_until_cancelled(sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            let (now, total) = (Instant::now(), busy().collect::<Vec<_>>());
            let worked = total
                .iter()
                .zip(&before)
                .map(|(total, before)| total.saturating_sub(*before));
            let most = worked.max().unwrap_or_default();
            let is_busy = most.div_duration_f64(now - since) > BUSY;
            self.0.store(is_busy, Ordering::Relaxed);
            (since, before) = (now, total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::yield_now;

    impl Busy {
        /// A process that has too much to do, whatever is measured.
        pub fn always() -> Self {
            Self(Arc::new(AtomicBool::new(true)))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_has_too_much_to_do_is_noticed_and_so_is_its_end() {
        let busy = Busy::default();
        let closing = CancellationToken::new();
        let watching = tokio::spawn({
            let (busy, closing) = (busy.clone(), closing.clone());
            async move { busy.watch(&closing).await }
        });
        let work = |is_enough: Arc<AtomicBool>| async move {
            while !is_enough.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
                yield_now().await;
            }
        };
        let is_enough = Arc::new(AtomicBool::new(false));
        let working = [(); 4].map(|()| tokio::spawn(work(is_enough.clone())));
        while !busy.is_so() {
            yield_now().await;
        }
        is_enough.store(true, Ordering::Relaxed);
        for worker in working {
            worker.await.unwrap();
        }
        while busy.is_so() {
            sleep(LOOK_EVERY).await;
        }
        closing.cancel();
        watching.await.unwrap();
    }
}
