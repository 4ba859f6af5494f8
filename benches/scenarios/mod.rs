//! The scenarios, one for each stage.

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

use crate::{
    client::{RequestKind, Requests, Task},
    report::Report,
};

/// A function that measures one stage.
type Scenario = fn(Scale, &mut Report) -> anyhow::Result<()>;

/// All scenarios, by name.
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

/// The size of the measurements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scale {
    /// Small versions, which only show that the scenarios work.
    pub quick: bool,
    /// The address of the original voting page, if it was started.
    pub original: Option<SocketAddr>,
}

impl Scale {
    /// The full amount, or the small one.
    pub fn of<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The number of rounds.
    pub fn rounds(self) -> usize {
        self.of(5, 3)
    }

    /// Duration of the warm-up.
    pub fn warm_up(self) -> Duration {
        Duration::from_millis(self.of(500, 200))
    }

    /// Duration of the measurement.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.of(3000, 500))
    }
}

/// Requests by this number of connections, with the durations of the scale.
fn requests(scale: Scale, address: SocketAddr, kind: RequestKind, connections: usize) -> Task {
    Task::Requests(Requests {
        address,
        kind,
        connections,
        warm_up: scale.warm_up(),
        duration: scale.duration(),
    })
}

/// Votes of new voters, without compression.
const NEW_VOTES: RequestKind = RequestKind::Vote {
    gzip: false,
    repeat: false,
};

/// Votes of new voters, each followed by a changed vote of the same voter, without compression.
const NEW_AND_CHANGED_VOTES: RequestKind = RequestKind::Vote {
    gzip: false,
    repeat: true,
};

/// Bytes in MB.
fn megabytes(bytes: f64) -> f64 {
    bytes / 1e6
}
