//! The path of an accepted vote into the queue: a concurrency limit, batches for each shard, and a runtime of its own.

mod batcher;
mod limit;
mod runtime;

pub use batcher::{EnqueueBatcher, Receipt};
pub use limit::{ConcurrencyLimit, Permit};
pub use runtime::QueueRuntime;
