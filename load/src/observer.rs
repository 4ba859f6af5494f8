//! Observation of the stored votes and the result page until they are quiescent.

use std::{io, time::Duration};

use embedded::OpenError;
use store::{Store, StoreConfig, StoreError, StoreUrl};
use tokio::time::{Instant, sleep};

use crate::{
    api::{ApiError, ReportedTally},
    check::{Observation, Violation, check},
    history::History,
    http_client::{Connector, Target},
    store_snapshot::StoreSnapshot,
};

/// Interval between observations. Two equal ones in a row are quiescent.
const OBSERVATION_INTERVAL: Duration = Duration::from_millis(500);
/// Timeout for counting the votes cast before the run.
const BASELINE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a result service and, if configured, the store.
pub struct Observer {
    connector: Connector,
    result: Target,
    store: Option<Store>,
}

/// Final observation of a run, checked against the rules.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Violations of the rules.
    pub violations: Vec<Violation>,
    /// The last observation.
    pub observation: Observation,
    /// True if the state was quiescent: equal in two observations, and not stale.
    pub quiescent: bool,
}

/// Error of an observation.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The result service has no usable response.
    #[error(transparent)]
    Result(#[from] ApiError),
    /// The store cannot be read.
    #[error("DATABASE_URL")]
    Store(#[from] StoreError),
    /// The database file cannot be used.
    #[error("DATABASE_URL")]
    Open(#[from] OpenError),
    /// The database file does not exist.
    #[error("DATABASE_URL: there is no database {0}")]
    NoFile(String),
    /// The result changes although no vote of this run was cast yet.
    #[error("the result keeps changing; no other votes may be cast during the run")]
    NotQuiescent,
    /// No root certificates are installed.
    #[error("no trusted root certificates found")]
    Certificates(#[from] io::Error),
}

impl Observer {
    /// Creates an observer of this result service, and of this store if there is one. It never changes a vote.
    ///
    /// # Errors
    /// The embedded database file does not exist or cannot be used, or no root certificates are installed for an https URL.
    pub async fn new(result: Target, store: Option<&StoreConfig>) -> Result<Self, ObserveError> {
        let store = match store {
            // Opening would create the file.
            Some(StoreConfig {
                url: StoreUrl::Sqlite(file),
                ..
            }) if !file.exists() => return Err(ObserveError::NoFile(file.display().to_string())),
            Some(config) => Some(Store::open(config).await?),
            None => None,
        };
        Ok(Self {
            connector: Connector::new([&result])?,
            result,
            store,
        })
    }

    /// Observes the state before the first vote, once all votes cast before are counted.
    ///
    /// # Errors
    /// The result or the store cannot be read, or the state does not become quiescent.
    pub async fn observe_baseline(&self) -> Result<Observation, ObserveError> {
        // Fails at once if a service is unreachable, instead of after the timeout.
        self.observe().await?;
        let is_consistent = |observation: &Observation| {
            observation
                .store
                .as_ref()
                .is_none_or(|store| observation.reported.matches(store))
        };
        let (observation, quiescent) = self.wait_quiescent(BASELINE_TIMEOUT, is_consistent).await?;
        quiescent
            .then_some(observation)
            .ok_or(ObserveError::NotQuiescent)
    }

    /// Observes until no rule is violated and the state is quiescent, or until the timeout.
    ///
    /// # Errors
    /// The result or the store cannot be read at the timeout.
    pub async fn settle(
        &self,
        history: &History,
        baseline: &Observation,
        timeout: Duration,
    ) -> Result<Verdict, ObserveError> {
        let is_valid = |observation: &Observation| check(history, baseline, observation).is_empty();
        let (observation, quiescent) = self.wait_quiescent(timeout, is_valid).await?;
        Ok(Verdict {
            violations: check(history, baseline, &observation),
            observation,
            quiescent,
        })
    }

    /// Observes until two observations in a row are equal and satisfy the predicate, or until the timeout. Returns the last
    /// observation, and whether this was reached.
    async fn wait_quiescent(
        &self,
        timeout: Duration,
        predicate: impl Fn(&Observation) -> bool,
    ) -> Result<(Observation, bool), ObserveError> {
        let deadline = Instant::now() + timeout;
        let mut last = None;
        loop {
            let started_at = Instant::now();
            let observed = self.observe().await;
            let timed_out = Instant::now() >= deadline;
            match observed {
                Ok(observation) => {
                    let quiescent = !observation.reported.stale
                        && last.as_ref() == Some(&observation)
                        && predicate(&observation);
                    if timed_out || quiescent {
                        return Ok((observation, quiescent));
                    }
                    last = Some(observation);
                }
                Err(error) if timed_out => return Err(error),
                Err(_) => last = None,
            }
            // With many votes, at least as long as the observation took, to leave the store to its other clients.
            sleep(OBSERVATION_INTERVAL.max(started_at.elapsed())).await;
        }
    }

    async fn observe(&self) -> Result<Observation, ObserveError> {
        let (poll, reported) = ReportedTally::fetch(&self.connector, &self.result).await?;
        let store = match &self.store {
            Some(store) => Some(StoreSnapshot::read(store, &poll).await?),
            None => None,
        };
        Ok(Observation { store, reported })
    }
}
