//! The common parts of services: start and shutdown, listeners, and probes of dependencies.

pub mod lifecycle;
mod listen;
pub mod probe;

pub use listen::{ListenError, listen, listen_for_management};
