//! The state of the store's tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// The state of the tables, as far as is known. Cloning is cheap; clones share it.
///
/// A database may be dropped and made anew, or restored from an older backup, while services use it: so this is no matter of the
/// start alone.
#[derive(Clone, Debug, Default)]
pub struct Preparation {
    state: Arc<Mutex<State>>,
    /// One attempt at a time: the others then find that it is done.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    is_done: bool,
    failure: Option<StoreError>,
}

impl Preparation {
    pub fn is_done(&self) -> bool {
        self.state().is_done
    }

    /// Waits until nobody else of this process prepares the tables.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Returns the error of the last attempt.
    pub fn failure(&self) -> Option<StoreError> {
        self.state().failure.clone()
    }

    /// Records the outcome of an attempt.
    pub fn record(&self, outcome: &Result<(), StoreError>) {
        let mut state = self.state();
        state.is_done = outcome.is_ok();
        state.failure = outcome.clone().err();
    }

    /// Records that the tables are not as they were.
    pub fn invalidate(&self) {
        self.state().is_done = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
