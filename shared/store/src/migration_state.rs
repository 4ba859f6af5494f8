//! State of the store's tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;

/// Known state of the migrations. Cloning is cheap; clones share the state.
///
/// It can change while services run: a database may be dropped and created again, or restored from an older backup.
#[derive(Clone, Debug, Default)]
pub struct MigrationState {
    state: Arc<Mutex<State>>,
    /// Held during a migration.
    migration_lock: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct State {
    is_up_to_date: bool,
    last_error: Option<StoreError>,
}

impl MigrationState {
    /// Returns true if the tables are up to date, as far as is known.
    pub fn is_up_to_date(&self) -> bool {
        self.state().is_up_to_date
    }

    /// Locks out other migrations by this process.
    pub async fn lock(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.migration_lock.lock().await
    }

    /// Returns the error of the last attempt.
    pub fn last_error(&self) -> Option<StoreError> {
        self.state().last_error.clone()
    }

    /// Records the outcome of an attempt.
    pub fn record(&self, outcome: &Result<(), StoreError>) {
        let mut state = self.state();
        state.is_up_to_date = outcome.is_ok();
        state.last_error = outcome.clone().err();
    }

    /// Records that the tables have changed or are missing.
    pub fn invalidate(&self) {
        self.state().is_up_to_date = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
