//! What the tests stand on: real servers, running services, and voters.

pub mod app;
pub mod browser;
pub mod cluster;
pub mod collector;
pub mod crowd;
pub mod debian;
pub mod document;
pub mod folders;
pub mod front;
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

/// How long anything may take that happens by itself. Generous, for machines are shared; a test that passes does not
/// wait so long.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Asks again until the answer is good; fails with the last answer when patience is at an end.
pub async fn eventually<T: std::fmt::Debug>(
    what: &str,
    good: impl Fn(&T) -> bool,
    ask: impl AsyncFn() -> T,
) -> T {
    eventually_every(Duration::from_millis(20), what, good, ask).await
}

/// The same for answers that cost more than others, with this pause between two of them.
pub async fn eventually_every<T: std::fmt::Debug>(
    pause: Duration,
    what: &str,
    good: impl Fn(&T) -> bool,
    ask: impl AsyncFn() -> T,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if good(&answer) {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not come about; last seen: {answer:?}"
        );
        sleep(pause).await;
    }
}

/// A port that nobody uses, below those that the system hands out by itself: while a server restarts, no connection
/// can take its port by chance.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| rand::random_range(15_000..30_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one port of 15000 is free")
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    format!("{what}_{:016x}", rand::random::<u64>())
}

/// Runs something asynchronous to its end, from within a test that is asynchronous itself.
fn on_a_thread<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
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
