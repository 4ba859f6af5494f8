//! The store: every voter's standing vote, the running tally, and what could not be stored.
//!
//! Two backends with one behaviour, chosen by the URL: an embedded SQLite file, or Postgres. `tests/store_contract.rs`
//! holds what both promise.

mod admin;
mod changes;
mod counts;
mod dead_letter;
mod error;
mod metrics;
mod migration_state;
mod postgres;
mod progress;
mod settings;
mod spans;
mod sqlite;
mod url;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use prometheus::Registry;

pub use admin::{Comparison, CountDifference, Counts, Replayed, StoredVote};
pub use changes::Changes;
pub use counts::{OptionCount, Tally, TimelinePoint};
pub use dead_letter::DeadLetter;
use embedded::{Database, OpenError};
pub use error::{ErrorClass, StoreError};
pub use metrics::StoreMetrics;
use migration_state::MigrationState;
use poll::ballot::{CastBallot, VoterId};
use postgres::PostgresStore;
pub use progress::{ProgressReport, WorkerProgress};
use service::probe::Check;
pub use settings::{InvalidStoreSettings, StoreSettings};
use spans::DatabaseName;
use sqlite::SqliteStore;
use telemetry::metrics::ServiceMetrics;
pub use url::{InvalidStoreUrl, StoreUrl};

/// The finest step of the timeline, in milliseconds.
pub const TIMELINE_STEP_MS: i64 = 10_000;

/// The age at which a worker's report is removed by another worker's.
pub const REPORT_RETENTION: Duration = Duration::from_mins(10);

/// How to reach and use the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Where it is.
    pub url: StoreUrl,
    /// How long one transaction may take at most. Past that its connection is thrown away.
    pub timeout: Duration,
    /// How many connections to Postgres one process holds at most.
    pub max_connections: u32,
}

/// The store. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    /// The location and the setting that names it, for messages.
    location: Arc<str>,
    name: Arc<DatabaseName>,
    migration_state: MigrationState,
}

#[derive(Clone)]
enum Backend {
    /// An embedded file.
    Sqlite(SqliteStore),
    /// A Postgres database.
    Postgres(PostgresStore),
}

/// What became of a batch of ballots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Ballots that became their voter's vote, or would have, had the same batch not held a newer one.
    pub applied: u64,
    /// Ballots that came after a newer or the very same one had been stored.
    pub stale: u64,
}

impl Store {
    /// Opens the store. A Postgres that does not answer yet is no error here: calls fail until it does.
    ///
    /// # Errors
    /// The embedded file cannot be used.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        Self::open_with(config, StoreMetrics::for_classes(&Registry::new())).await
    }

    /// The same for a service, whose metrics then tell of it.
    ///
    /// # Errors
    /// The embedded file cannot be used.
    pub async fn open_with_metrics(
        config: &StoreConfig,
        service: &ServiceMetrics,
    ) -> Result<Self, OpenError> {
        let metrics = StoreMetrics::for_classes(&service.registry);
        let store = Self::open_with(config, metrics).await?;
        let measured = store.clone();
        service.on_scrape(move || measured.count_connections());
        Ok(store)
    }

    async fn open_with(config: &StoreConfig, metrics: StoreMetrics) -> Result<Self, OpenError> {
        let backend = match &config.url {
            StoreUrl::Sqlite(path) => {
                Backend::Sqlite(SqliteStore::new(Database::open(path).await?, metrics))
            }
            StoreUrl::Postgres(options) => {
                if let Some(connection) = url::unverified_tls(options) {
                    tracing::info!(connection, "what DATABASE_URL says of TLS");
                }
                Backend::Postgres(PostgresStore::new((**options).clone(), config, metrics))
            }
        };
        Ok(Self {
            backend,
            location: format!("{} (DATABASE_URL)", config.url).into(),
            name: Arc::new(DatabaseName::of(&config.url)),
            migration_state: MigrationState::default(),
        })
    }

    fn count_connections(&self) {
        match &self.backend {
            Backend::Sqlite(store) => {
                let database = store.database();
                let (all, idle) = database.connection_counts();
                self.metrics().set_connections(all, idle);
            }
            Backend::Postgres(store) => {
                let pool = store.pool();
                self.metrics().set_connections(pool.size(), pool.num_idle());
            }
        }
    }

    fn metrics(&self) -> &StoreMetrics {
        match &self.backend {
            Backend::Sqlite(store) => store.metrics(),
            Backend::Postgres(store) => store.metrics(),
        }
    }

    fn record_error<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        let outcome = outcome.map_err(|error| error.with_location(&self.location));
        if let Err(error) = &outcome
            && error.is_schema_error()
        {
            self.migration_state.invalidate();
        }
        self.metrics().record_error(outcome)
    }

    /// Brings the tables up to date, under a lock, so that any number of services may call this at once.
    ///
    /// # Errors
    /// [`ErrorClass::Permanent`] where only another version of this program can help: the tables are of a newer one.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let prepared = self.record_error(match &self.backend {
            Backend::Sqlite(_) => Ok(()), // done when it was opened
            Backend::Postgres(store) => Box::pin(store.migrate()).await,
        });
        self.migration_state.record(&prepared);
        prepared
    }

    /// Does the same if the tables may not be up to date: before the first use, and after an error that says so, as when
    /// the database was made anew.
    ///
    /// # Errors
    /// As of [`Self::prepare`].
    pub async fn ensure_migrated(&self) -> Result<(), StoreError> {
        if self.migration_state.is_up_to_date() {
            return Ok(());
        }
        let _lock = self.migration_state.lock().await;
        if self.migration_state.is_up_to_date() {
            return Ok(());
        }
        self.migrate().await
    }

    /// Returns true if the tables are up to date, as far as is known.
    #[must_use]
    pub fn is_migrated(&self) -> bool {
        self.migration_state.is_up_to_date()
    }

    /// Stores ballots and dead letters in one transaction, together with the counts they change.
    ///
    /// Of each voter's ballots the one with the greatest id stands in the end, in whatever order and however often they
    /// are handed in.
    ///
    /// # Errors
    /// Nothing was stored; or, after a timeout or a broken connection, perhaps all of it. Doing it again is safe.
    pub async fn upsert_ballots(
        &self,
        ballots: &[CastBallot],
        dead: &[DeadLetter],
    ) -> Result<Applied, StoreError> {
        let newest = newest_per_voter(ballots);
        // In a box: where it is awaited there would be room for it several times over.
        let applying = Box::pin(async {
            match &self.backend {
                Backend::Sqlite(store) => store.upsert_ballots(&newest, dead).await,
                Backend::Postgres(store) => store.upsert_ballots(&newest, dead).await,
            }
        });
        let changed = self.record_error(self.name.insert(ballots.len(), applying).await)?;
        let superseded = (ballots.len() - newest.len()) as u64;
        Ok(Applied {
            applied: changed + superseded,
            stale: (newest.len() as u64).saturating_sub(changed),
        })
    }

    /// The running tally of every option that was ever voted for, in the order of their keys.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn tally(&self) -> Result<Tally, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.tally().await,
            Backend::Postgres(store) => store.tally().await,
        })
    }

    /// The standing votes by when they were cast, in steps of `step` (a multiple of [`TIMELINE_STEP_MS`]), oldest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn timeline(
        &self,
        from: Timestamp,
        step: Duration,
    ) -> Result<Vec<TimelinePoint>, StoreError> {
        let step_ms = i64::try_from(step.as_millis())
            .unwrap_or(i64::MAX)
            .max(TIMELINE_STEP_MS);
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.timeline(from.as_millisecond(), step_ms).await,
            Backend::Postgres(store) => store.timeline(from.as_millisecond(), step_ms).await,
        })
    }

    /// The first and the last moment on the timeline; `None`: it is empty.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn timeline_extent(&self) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let extent = self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.timeline_extent().await,
            Backend::Postgres(store) => store.timeline_extent().await,
        })?;
        Ok(extent.and_then(|(first, last)| {
            Some((
                Timestamp::from_millisecond(first).ok()?,
                Timestamp::from_millisecond(last).ok()?,
            ))
        }))
    }

    /// What could not be stored as a vote, in the order it came.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.dead_letters().await,
            Backend::Postgres(store) => store.dead_letters().await,
        })
    }

    /// Leaves word of how far this worker is, in the location of its last report, and removes reports of workers that have
    /// been silent for [`REPORT_RETENTION`].
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn report_progress(&self, progress: &WorkerProgress) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => Box::pin(store.report_progress(progress)).await,
            Backend::Postgres(store) => Box::pin(store.report_progress(progress)).await,
        })
    }

    /// The last report of every worker, also of those that are gone.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn progress(&self) -> Result<Vec<ProgressReport>, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.progress().await,
            Backend::Postgres(store) => store.progress().await,
        })
    }

    /// Checks that a ballot like this one would be stored, without storing it.
    ///
    /// # Errors
    /// It would not be, or the store does not answer.
    pub async fn try_upsert(&self, ballot: &CastBallot) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.try_upsert(ballot).await,
            Backend::Postgres(store) => store.try_upsert(ballot).await,
        })
    }

    /// Checks that the tally can be read.
    ///
    /// # Errors
    /// It cannot, or the tables could not be brought up to date.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.ensure_usable()?;
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.probe().await,
            Backend::Postgres(store) => store.probe(self.migration_state.is_up_to_date()).await,
        })
    }

    /// Checks that votes can be stored.
    ///
    /// # Errors
    /// They cannot, or the tables could not be brought up to date.
    pub async fn probe_writes(&self) -> Result<(), StoreError> {
        self.ensure_usable()?;
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.probe_writes().await,
            Backend::Postgres(store) => {
                store
                    .probe_writes(self.migration_state.is_up_to_date())
                    .await
            }
        })
    }

    /// Returns the check that fails where the embedded file is no longer at its path.
    #[must_use]
    pub fn missing_file_check(&self) -> Option<Check> {
        match &self.backend {
            Backend::Sqlite(store) => store.database().missing_file_check("store"),
            Backend::Postgres(_) => None,
        }
    }

    /// Fails with the reason that keeps the tables from being used: it says more than what then fails.
    fn ensure_usable(&self) -> Result<(), StoreError> {
        self.migration_state.last_error().map_or(Ok(()), Err)
    }

    /// Writes what is kept beside the embedded file into it; to be called when nothing writes any more.
    pub async fn checkpoint(&self) {
        if let Backend::Sqlite(store) = &self.backend {
            store.database().checkpoint().await;
        }
    }

    /// Tells when the counts may have changed.
    #[must_use]
    pub fn changes(&self) -> Changes {
        match &self.backend {
            Backend::Sqlite(store) => {
                Changes::of_file(store.database(), self.metrics(), &self.location)
            }
            Backend::Postgres(store) => {
                Changes::of_server(store.pool(), self.metrics(), &self.location)
            }
        }
    }
}

/// A statement may touch a row once only; and rows locked in the order of their voters cannot deadlock.
fn newest_per_voter(ballots: &[CastBallot]) -> Vec<&CastBallot> {
    let mut newest: HashMap<VoterId, &CastBallot> = HashMap::with_capacity(ballots.len());
    for cast in ballots {
        let standing = newest.entry(cast.ballot.voter).or_insert(cast);
        if cast.id > standing.id {
            *standing = cast;
        }
    }
    let mut newest: Vec<_> = newest.into_values().collect();
    newest.sort_unstable_by_key(|cast| cast.ballot.voter);
    newest
}
