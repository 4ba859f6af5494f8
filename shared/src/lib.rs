//! What the three services of the voting application have in common.
//!
//! A vote walks through this crate from top to bottom: the [`poll`] says what may be chosen, a [`ballot`] says who
//! chose what, the [`queue`] keeps it until a worker has moved it into the [`store`], and the store keeps the tally.
//! Around that walk stand the parts every service needs: [`settings`], [`lifecycle`], [`http`], [`probe`],
//! [`mod@metrics`], [`traces`] and [`telemetry`].

pub mod backoff;
pub mod ballot;
pub mod build;
pub mod cli;
pub mod gzip;
pub mod http;
pub mod language;
pub mod lifecycle;
pub mod links;
pub mod metrics;
pub mod poll;
pub mod private;
pub mod probe;
pub mod queue;
mod secret_url;
pub mod settings;
pub mod spreadsheet;
pub mod sqlite;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod traces;

/// The name of this machine or container, for pages and for telling replicas apart.
#[must_use]
pub fn instance_name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}
