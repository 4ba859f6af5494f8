//! Waits between attempts, and log lines at most once a second.

mod backoff;
mod throttle;

pub use backoff::Backoff;
pub use throttle::Throttle;
