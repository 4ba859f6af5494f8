//! Redis and Postgres as local processes, for the tests and the benchmarks.
//!
//! Errors are the reasons why a server cannot be started, as text: the tests print them when they skip.

pub mod folders;
mod guard;
pub mod postgres;
mod process;
mod programs;
pub mod redis;

use std::{net::TcpListener, time::Duration};

pub use guard::Guard;
pub use process::ServerProcess;
pub use programs::find_program;

/// Time limit for everything that a test or a benchmark waits for. Long, because machines are shared; one that passes does
/// not wait this long.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// Interval between two attempts to connect to a server that starts.
const CONNECT_INTERVAL: Duration = Duration::from_millis(20);

/// A free port below the range of ephemeral ports, so that no outgoing connection can take it while a server restarts.
///
/// # Panics
///
/// If no port is free.
#[must_use]
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| rand::random_range(15_000..30_000))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port of 15000 is free")
}

/// Runs a future to completion on this thread.
///
/// # Panics
///
/// Within another runtime.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
        .block_on(work)
}
