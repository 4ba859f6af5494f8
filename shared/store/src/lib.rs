//! The store: every voter's vote, the running tally, and dead letters.
//!
//! Two backends with the same behaviour, chosen by the URL: an embedded SQLite file, or Postgres. `tests/store_contract`
//! tests the contract of both.

mod admin;
mod changes;
mod counts;
mod dead_letter;
mod error;
mod metrics;
mod migration_state;
mod postgres;
mod progress;
mod recorded_poll;
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
use poll::{
    Poll, PollId,
    ballot::{CastBallot, VoterId},
};
use postgres::PostgresStore;
pub use progress::{ProgressReport, WorkerProgress};
pub use recorded_poll::RecordedPoll;
pub use settings::{InvalidStoreSettings, StoreSettings};
use spans::DatabaseName;
use sqlite::SqliteStore;
use telemetry::metrics::ServiceMetrics;
pub use url::{InvalidStoreUrl, StoreUrl};

/// Smallest step of the timeline in milliseconds.
pub const TIMELINE_STEP_MS: i64 = 10_000;

/// Age after which a worker's report is removed by the report of another worker.
pub const REPORT_RETENTION: Duration = Duration::from_mins(10);

/// Configuration of the store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The store's server or file.
    pub url: StoreUrl,
    /// Timeout of one transaction. After it the connection is closed.
    pub timeout: Duration,
    /// Maximum number of this process' connections to Postgres.
    pub max_connections: u32,
}

/// The store. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    /// Location and the setting that names it, for messages.
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

/// Outcome of storing a batch of ballots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Number of ballots that became their voter's vote, or were replaced by a newer ballot of the same batch.
    pub applied: u64,
    /// Number of ballots that changed nothing: a newer ballot or the same one was stored before.
    pub stale: u64,
}

impl Store {
    /// Opens the store. An unreachable Postgres is no error here: operations fail until it is reachable.
    ///
    /// # Errors
    /// The embedded file cannot be used.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        Self::open_with(config, StoreMetrics::for_classes(&Registry::new())).await
    }

    /// Opens the store for a service and adds its metrics to those of the service.
    ///
    /// # Errors
    /// The embedded file cannot be used.
    pub async fn open_with_metrics(
        config: &StoreConfig,
        service: &ServiceMetrics,
    ) -> Result<Self, OpenError> {
        let metrics = StoreMetrics::for_classes(&service.registry);
        let store = Self::open_with(config, metrics).await?;
        let observed = store.clone();
        service.on_scrape(move || observed.update_connection_gauges());
        Ok(store)
    }

    async fn open_with(config: &StoreConfig, metrics: StoreMetrics) -> Result<Self, OpenError> {
        let backend = match &config.url {
            StoreUrl::Sqlite(path) => {
                Backend::Sqlite(SqliteStore::new(Database::open(path).await?, metrics))
            }
            StoreUrl::Postgres(options) => {
                if let Some(tls) = url::unverified_tls(options) {
                    tracing::info!(tls, "the connection to the store is not fully verified");
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

    fn update_connection_gauges(&self) {
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

    /// Migrates the tables, under a lock: several services may call this at the same time. Votes of the original app become votes in
    /// the poll of the settings.
    ///
    /// # Errors
    /// [`ErrorClass::Permanent`] if the tables were created by a newer version of this program.
    pub async fn migrate(&self, settings_poll: &PollId) -> Result<(), StoreError> {
        let migrated = self.record_error(match &self.backend {
            Backend::Sqlite(_) => Ok(()), // migrated when it was opened
            Backend::Postgres(store) => Box::pin(store.migrate(settings_poll)).await,
        });
        self.migration_state.record(&migrated);
        migrated
    }

    /// Migrates the tables unless they are known to be up to date. They are not before the first migration and after an error
    /// about missing tables, as when the database was created again.
    ///
    /// # Errors
    /// Those of [`Self::migrate`].
    pub async fn ensure_migrated(&self, settings_poll: &PollId) -> Result<(), StoreError> {
        if self.migration_state.is_up_to_date() {
            return Ok(());
        }
        let _lock = self.migration_state.lock().await;
        if self.migration_state.is_up_to_date() {
            return Ok(());
        }
        self.migrate(settings_poll).await
    }

    /// Returns true if the tables are up to date, as far as is known.
    #[must_use]
    pub fn is_migrated(&self) -> bool {
        self.migration_state.is_up_to_date()
    }

    /// Stores ballots and dead letters in one transaction, together with the counts that they change.
    ///
    /// The ballot with the greatest id becomes its voter's vote, regardless of the order and the number of deliveries.
    ///
    /// # Errors
    /// Nothing was stored; or, after a timeout or a broken connection, possibly all of it. It is safe to retry.
    pub async fn upsert_ballots(
        &self,
        ballots: &[CastBallot],
        dead: &[DeadLetter],
    ) -> Result<Applied, StoreError> {
        let newest = newest_per_voter(ballots);
        // Boxed: the future is large, and the callers' futures would contain it several times.
        let upsert = Box::pin(async {
            match &self.backend {
                Backend::Sqlite(store) => store.upsert_ballots(&newest, dead).await,
                Backend::Postgres(store) => store.upsert_ballots(&newest, dead).await,
            }
        });
        let changed = self.record_error(self.name.insert(ballots.len(), upsert).await)?;
        let superseded = (ballots.len() - newest.len()) as u64;
        Ok(Applied {
            applied: changed + superseded,
            stale: (newest.len() as u64).saturating_sub(changed),
        })
    }

    /// Returns the running tally of a poll: every option that ever had a vote, in the order of their keys.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn tally(&self, poll: &PollId) -> Result<Tally, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.tally(poll).await,
            Backend::Postgres(store) => store.tally(poll).await,
        })
    }

    /// Returns the time of the newest ballot in any poll, in milliseconds since the Unix epoch; 0 if there is none.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn last_cast_ms(&self) -> Result<i64, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.last_cast_ms().await,
            Backend::Postgres(store) => store.last_cast_ms().await,
        })
    }

    /// Records a poll, or its new wording and times.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn record_poll(&self, poll: &Poll) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.record_poll(poll).await,
            Backend::Postgres(store) => store.record_poll(poll).await,
        })
    }

    /// Returns the recorded polls, oldest first.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn polls(&self) -> Result<Vec<RecordedPoll>, StoreError> {
        self.select_polls("").await
    }

    /// Returns the recorded poll with this id; `None` if there is none.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn poll(&self, id: &PollId) -> Result<Option<Poll>, StoreError> {
        let found = self.select_polls(id.as_str()).await?;
        Ok(found.into_iter().next().map(|recorded| recorded.poll))
    }

    /// Returns the poll with this id, or all polls if the text is empty.
    async fn select_polls(&self, id: &str) -> Result<Vec<RecordedPoll>, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.polls(id).await,
            Backend::Postgres(store) => store.polls(id).await,
        })
    }

    /// Returns the votes in a poll by the time when they were cast, in steps of `step` (a multiple of [`TIMELINE_STEP_MS`]), oldest first.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn timeline(
        &self,
        poll: &PollId,
        from: Timestamp,
        step: Duration,
    ) -> Result<Vec<TimelinePoint>, StoreError> {
        let step_ms = i64::try_from(step.as_millis())
            .unwrap_or(i64::MAX)
            .max(TIMELINE_STEP_MS);
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.timeline(poll, from.as_millisecond(), step_ms).await,
            Backend::Postgres(store) => store.timeline(poll, from.as_millisecond(), step_ms).await,
        })
    }

    /// Returns the first and the last step of a poll's timeline; `None` if it is empty.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn timeline_extent(
        &self,
        poll: &PollId,
    ) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let extent = self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.timeline_extent(poll).await,
            Backend::Postgres(store) => store.timeline_extent(poll).await,
        })?;
        Ok(extent.and_then(|(first, last)| {
            Some((
                Timestamp::from_millisecond(first).ok()?,
                Timestamp::from_millisecond(last).ok()?,
            ))
        }))
    }

    /// Returns the dead letters in the order of their ids.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.dead_letters(false).await,
            Backend::Postgres(store) => store.dead_letters(false).await,
        })
    }

    /// Replaces this worker's progress report, and removes reports of other workers that are older than [`REPORT_RETENTION`].
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn report_progress(&self, progress: &WorkerProgress) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => Box::pin(store.report_progress(progress)).await,
            Backend::Postgres(store) => Box::pin(store.report_progress(progress)).await,
        })
    }

    /// Returns the last report of every worker, including workers that have ended.
    ///
    /// # Errors
    /// The store is unreachable.
    pub async fn progress(&self) -> Result<Vec<ProgressReport>, StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.progress().await,
            Backend::Postgres(store) => store.progress().await,
        })
    }

    /// Checks that this ballot could be stored, without storing it.
    ///
    /// # Errors
    /// It could not, or the store is unreachable.
    pub async fn try_upsert(&self, ballot: &CastBallot) -> Result<(), StoreError> {
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.try_upsert(ballot).await,
            Backend::Postgres(store) => store.try_upsert(ballot).await,
        })
    }

    /// Checks that the tally can be read.
    ///
    /// # Errors
    /// It cannot, or the last migration failed.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.check_migrated()?;
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.probe().await,
            Backend::Postgres(store) => store.probe(self.migration_state.is_up_to_date()).await,
        })
    }

    /// Checks that votes can be stored.
    ///
    /// # Errors
    /// They cannot, or the last migration failed.
    pub async fn probe_writes(&self) -> Result<(), StoreError> {
        self.check_migrated()?;
        self.record_error(match &self.backend {
            Backend::Sqlite(store) => store.probe_writes().await,
            Backend::Postgres(store) => {
                store
                    .probe_writes(self.migration_state.is_up_to_date())
                    .await
            }
        })
    }

    /// Checks that the embedded file, if there is one, is still at its path.
    ///
    /// # Errors
    /// The file was removed, moved or replaced.
    pub fn ensure_file_in_place(&self) -> std::io::Result<()> {
        match &self.backend {
            Backend::Sqlite(store) => store.database().ensure_in_place(),
            Backend::Postgres(_) => Ok(()),
        }
    }

    /// Returns the error of the last migration: it says more than the error of a statement on missing tables.
    fn check_migrated(&self) -> Result<(), StoreError> {
        self.migration_state.last_error().map_or(Ok(()), Err)
    }

    /// Moves the write-ahead log of an embedded file into the file. To be called after the last write.
    pub async fn checkpoint(&self) {
        if let Backend::Sqlite(store) = &self.backend {
            store.database().checkpoint().await;
        }
    }

    /// Returns a listener for changes of the counts.
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

/// Query of both backends.
const LAST_CAST_MS: &str = "SELECT coalesce(max(last_cast_ms), 0) FROM tally";

/// Returns the newest ballot of each voter in the order of the polls and voters. A statement can change a row only once, and rows
/// that are locked in the same order cannot deadlock.
fn newest_per_voter(ballots: &[CastBallot]) -> Vec<&CastBallot> {
    let mut newest: HashMap<VoterId, &CastBallot> = HashMap::with_capacity(ballots.len());
    for cast in ballots {
        let current = newest.entry(cast.ballot.voter).or_insert(cast);
        if cast.id > current.id {
            *current = cast;
        }
    }
    let mut newest: Vec<_> = newest.into_values().collect();
    newest.sort_unstable_by(|one, other| {
        let (one, other) = (&one.ballot, &other.ballot);
        (&one.poll, one.voter).cmp(&(&other.poll, other.voter))
    });
    newest
}
