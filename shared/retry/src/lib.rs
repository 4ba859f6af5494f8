//! Delays between retries, and throttled log lines.

mod backoff;
mod throttle;

pub use backoff::Backoff;
pub use throttle::Throttle;
