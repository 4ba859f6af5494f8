//! Durability of the queue's server.

/// Source of what is known about the durability of the queue's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DurabilityCheck {
    /// The server's settings, which are read from the server.
    #[default]
    Checked,
    /// The operator: a managed service stores the votes durably, and its settings cannot be read.
    Managed,
}

/// Durability of accepted ballots when the queue's server crashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They survive.
    Full,
    /// They survive, according to the operator.
    Managed,
    /// They may be lost, or it is unknown; the text names the settings at fault.
    Degraded(String),
}
