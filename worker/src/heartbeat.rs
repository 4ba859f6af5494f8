//! The state of a processing loop, for the probes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use service::probe::Check;

/// Start time and outcome of the last iteration of a loop. Cloning is cheap; clones share their state.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    turn_started: Option<Instant>,
    outcome: Result<(), String>,
}

impl Heartbeat {
    /// The heartbeat of a loop that waits for the migration of the store's tables.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            turn_started: None,
            outcome: Err("the store's tables are not up to date yet".into()),
        })))
    }

    /// Records that an iteration starts.
    pub fn beat(&self) {
        self.state().turn_started = Some(Instant::now());
    }

    /// Records that the loop waits for the migration of the store's tables.
    pub fn pause(&self) {
        self.state().turn_started = None;
    }

    /// The time since the current iteration started; zero while the loop waits for the migration. A migration that counts a large table
    /// may take long, has a timeout of its own, and would start again after a restart.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.state()
            .turn_started
            .map_or(Duration::ZERO, |started| started.elapsed())
    }

    /// Records the outcome of the last iteration.
    pub fn record(&self, outcome: Result<(), String>) {
        self.state().outcome = outcome;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The check of these loops in `/ready`: fails if the last iteration of a loop failed.
#[must_use]
pub fn check(heartbeats: &[Heartbeat]) -> Check {
    let outcomes = heartbeats
        .iter()
        .map(|heartbeat| heartbeat.state().outcome.clone());
    Check {
        name: "processor",
        outcome: outcomes.collect(),
    }
}
