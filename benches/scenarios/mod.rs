//! What is measured, one stage after the other.

mod backlog;
mod bloat;
mod embedded;
mod end_to_end;
mod growth;
mod original;
mod result;
mod start;
mod vote;
mod worker;

use std::{net::SocketAddr, time::Duration};

use crate::report::Report;

/// Measures one stage.
type Scenario = fn(Scale, &mut Report) -> anyhow::Result<()>;

/// All of them, by name.
pub const SCENARIOS: [(&str, Scenario); 9] = [
    ("vote", vote::run),
    ("embedded", embedded::run),
    ("worker", worker::run),
    ("end-to-end", end_to_end::run),
    ("result", result::run),
    ("growth", growth::run),
    ("bloat", bloat::run),
    ("start", start::run),
    ("original", original::run),
];

/// How much of everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scale {
    /// Small versions, which show that it works.
    pub quick: bool,
    /// Where the original voting page is, if somebody has started it.
    pub original: Option<SocketAddr>,
}

impl Scale {
    /// The full amount, or the small one.
    pub fn of<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// How often everything is measured.
    pub fn rounds(self) -> usize {
        self.of(5, 3)
    }

    /// How long requests are sent before anything is measured.
    pub fn warm_up(self) -> Duration {
        Duration::from_millis(self.of(500, 200))
    }

    /// How long requests are measured.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.of(3000, 500))
    }
}

/// In MB.
fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}
