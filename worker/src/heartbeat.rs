//! What the loop tells the probes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use service::probe::Check;

/// When the loop last began a turn, and how the last one ended. Cloning is cheap; clones share what they know.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    beat: Option<Instant>,
    outcome: Result<(), String>,
}

impl Heartbeat {
    /// Of a loop that waits for its tables.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            beat: None,
            outcome: Err("the store's tables are not up to date yet".into()),
        })))
    }

    /// The loop turns.
    pub fn beat(&self) {
        self.state().beat = Some(Instant::now());
    }

    /// The loop waits for its tables.
    pub fn rest(&self) {
        self.state().beat = None;
    }

    /// How long ago the last turn began. While it waits for its tables nothing hangs: to fill the counts of a large table may
    /// take long, has a time limit of its own, and would begin anew after a restart.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.state()
            .beat
            .map_or(Duration::ZERO, |beat| beat.elapsed())
    }

    /// How the last turn ended, or what came before the first.
    pub fn note(&self, outcome: Result<(), String>) {
        self.state().outcome = outcome;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the last turns of these loops ended, as `/ready` shows it.
#[must_use]
pub fn check(loops: &[Heartbeat]) -> Check {
    let outcomes = loops.iter().map(|heart| heart.state().outcome.clone());
    Check {
        name: "mover",
        outcome: outcomes.collect(),
    }
}
