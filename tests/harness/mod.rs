//! Test harness: real servers, running services, and voters.

pub mod app;
pub mod browser;
pub mod client_pool;
pub mod cluster;
pub mod collector;
pub mod container;
pub mod debian;
pub mod document;
pub mod load_balancer;
pub mod pooler;
pub mod postgres;
pub mod power;
pub mod process;
pub mod prometheus;
pub mod promtool;
pub mod proxy;
pub mod raw;
pub mod redis;
pub mod scrape;
pub mod server;
pub mod skip;
pub mod snapshot;
pub mod stack;
pub mod storage;
pub mod tls;
pub mod viewer;
pub mod voter;
pub mod web_driver;

use std::{thread, time::Duration};

pub use local_servers::{TIMEOUT, find_program, folders, free_port};
use tokio::time::{Instant, sleep};

/// Polls until the value fulfils the condition; panics with the last value after the timeout.
pub async fn eventually<T: std::fmt::Debug>(
    what: &str,
    condition: impl Fn(&T) -> bool,
    poll: impl AsyncFn() -> T,
) -> T {
    eventually_every(Duration::from_millis(20), what, condition, poll).await
}

/// The same with this interval between polls, for values that are expensive to get.
pub async fn eventually_every<T: std::fmt::Debug>(
    interval: Duration,
    what: &str,
    condition: impl Fn(&T) -> bool,
    poll: impl AsyncFn() -> T,
) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let value = poll().await;
        if condition(&value) {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "timed out waiting for {what}; last value: {value:?}"
        );
        sleep(interval).await;
    }
}

/// A name that no other test uses.
pub fn unique(what: &str) -> String {
    format!("{what}_{:016x}", rand::random::<u64>())
}

/// Runs a future to completion on a thread of its own, also from within an asynchronous test.
fn block_on_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    thread::spawn(move || local_servers::block_on(work))
        .join()
        .expect("it does not panic")
}
