//! The parts that all services share: start and shutdown, listeners, and the probes of their dependencies.

pub mod lifecycle;
mod listen;
pub mod probe;

pub use listen::{ListenError, listen, listen_for_management};
