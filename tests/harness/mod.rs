//! Test harness: real servers, running services, and voters.

pub mod app;
pub mod browser;
pub mod client_pool;
pub mod cluster;
pub mod collector;
pub mod debian;
pub mod document;
pub mod folders;
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
pub mod stack;
pub mod storage;
pub mod tls;
pub mod viewer;
pub mod voter;

use std::{net::TcpListener, thread, time::Duration};

use tokio::time::{Instant, sleep};

/// Time limit for everything that a test waits for. Long, because machines are shared; a test that passes does not wait
/// this long.
pub const TIMEOUT: Duration = Duration::from_mins(1);

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

/// A free port below the range of ephemeral ports, so that no outgoing connection can take it while a server restarts.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| rand::random_range(15_000..30_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port of 15000 is free")
}

/// A name that no other test uses.
pub fn unique(what: &str) -> String {
    format!("{what}_{:016x}", rand::random::<u64>())
}

/// Runs a future to completion on a thread of its own, also from within an asynchronous test.
fn block_on_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built")
    };
    thread::spawn(move || runtime().block_on(work))
        .join()
        .expect("it does not panic")
}
