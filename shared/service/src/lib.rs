//! The skeleton that all services share: how they start and end, and the probes of their dependencies.

pub mod lifecycle;
pub mod probe;
