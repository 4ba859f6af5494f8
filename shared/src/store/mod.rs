//! The store: every voter's standing vote, the running tally, and what could not be stored.
//!
//! Two backends with one behaviour, chosen by the URL: an embedded SQLite file, or Postgres. `tests/store_contract.rs`
//! holds what both promise.

mod changes;
mod counts;
mod dead_letter;
mod error;
mod metrics;
mod postgres;
mod progress;
mod sqlite;
mod upkeep;

use std::{collections::HashMap, fmt, path::PathBuf, str::FromStr, time::Duration};

use jiff::Timestamp;
use prometheus::Registry;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    ballot::{CastBallot, VoterId},
    metrics::ServiceMetrics,
    sqlite::{Database, OpenError, SqlitePath},
};
pub use changes::Changes;
pub use counts::{OptionCount, Tally, TimelinePoint};
pub use dead_letter::DeadLetter;
pub use error::{ErrorClass, StoreError};
pub use metrics::StoreMetrics;
use postgres::PostgresStore;
pub use progress::{ProgressReport, WorkerProgress};
use sqlite::SqliteStore;
pub use upkeep::{Contents, Replayed, StandingVote};

/// The finest step of the timeline, in milliseconds.
pub const TIMELINE_STEP_MS: i64 = 10_000;

/// The age at which a worker's report is removed by another worker's.
pub const FORGET_REPORTS_AFTER: Duration = Duration::from_mins(10);

/// Where the store is.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `sqlite://FILE`: embedded, for any number of processes on one machine.
    Sqlite(PathBuf),
    /// `postgres://…`: for any number of machines.
    Postgres(Box<sqlx::postgres::PgConnectOptions>),
}

impl StoreUrl {
    /// Whether it is a file on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// Where it is, without secrets.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => crate::sqlite::absolute(path).display().fmt(f),
            Self::Postgres(options) => write!(
                f,
                "Postgres at {}:{}",
                options.get_host(),
                options.get_port()
            ),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    /// Secrets may be inside, so no error repeats the URL.
    fn from_str(url: &str) -> Result<Self, InvalidStoreUrl> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => url
                .parse()
                .map(|SqlitePath(path)| Self::Sqlite(path))
                .map_err(|why| InvalidStoreUrl(why.into())),
            Some("postgres" | "postgresql") => url
                .parse()
                .map(|options| Self::Postgres(Box::new(options)))
                .map_err(|_| {
                    InvalidStoreUrl(
                        "not a Postgres URL; write postgres://[USER:PASSWORD@]HOST[:PORT]/DATABASE"
                            .into(),
                    )
                }),
            _ => Err(InvalidStoreUrl(
                "allowed are sqlite://FILE and postgres://HOST/DATABASE".into(),
            )),
        }
    }
}

/// The URL names no store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStoreUrl(String);

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
pub enum Store {
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
    pub async fn open_measured(
        config: &StoreConfig,
        service: &ServiceMetrics,
    ) -> Result<Self, OpenError> {
        let metrics = StoreMetrics::for_classes(&service.registry);
        let store = Self::open_with(config, metrics).await?;
        let measured = store.clone();
        service.before_each_scrape(move || measured.count_connections());
        Ok(store)
    }

    async fn open_with(config: &StoreConfig, metrics: StoreMetrics) -> Result<Self, OpenError> {
        match &config.url {
            StoreUrl::Sqlite(path) => Ok(Self::Sqlite(SqliteStore::new(
                Database::open(path).await?,
                metrics,
            ))),
            StoreUrl::Postgres(options) => Ok(Self::Postgres(PostgresStore::new(
                (**options).clone(),
                config,
                metrics,
            ))),
        }
    }

    fn count_connections(&self) {
        match self {
            Self::Sqlite(store) => {
                let database = store.database();
                let (all, idle) = database.connections();
                self.metrics().set_connections(all, idle);
            }
            Self::Postgres(store) => {
                let pool = store.pool();
                self.metrics().set_connections(pool.size(), pool.num_idle());
            }
        }
    }

    fn metrics(&self) -> &StoreMetrics {
        match self {
            Self::Sqlite(store) => store.metrics(),
            Self::Postgres(store) => store.metrics(),
        }
    }

    fn note<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        self.metrics().note(outcome)
    }

    /// Brings the tables up to date, under a lock, so that any number of services may call this at once.
    ///
    /// # Errors
    /// [`ErrorClass::Permanent`] where trying again cannot help: a newer schema, a refused password.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.note(match self {
            Self::Sqlite(_) => Ok(()), // done when it was opened
            Self::Postgres(store) => store.prepare().await,
        })
    }

    /// Does the same, for as long as trying again can help, until `closing` is cancelled.
    ///
    /// # Errors
    /// Trying again cannot help.
    pub async fn prepare_patiently(&self, closing: &CancellationToken) -> Result<(), StoreError> {
        let mut backoff = Backoff::default();
        loop {
            match closing.run_until_cancelled(Box::pin(self.prepare())).await {
                Some(Err(error)) if error.class != ErrorClass::Permanent => {
                    let wait = backoff.next_wait();
                    tracing::warn!(%error, ?wait, "the store is not ready; trying again");
                    closing.run_until_cancelled(sleep(wait)).await;
                }
                Some(outcome) => return outcome,
                None => return Ok(()),
            }
        }
    }

    /// Stores ballots and dead letters in one transaction, together with the counts they change.
    ///
    /// Of each voter's ballots the one with the greatest id stands in the end, in whatever order and however often they
    /// are handed in.
    ///
    /// # Errors
    /// Nothing was stored; or, after a timeout or a broken connection, perhaps all of it. Doing it again is safe.
    pub async fn apply(
        &self,
        ballots: &[CastBallot],
        dead: &[DeadLetter],
    ) -> Result<Applied, StoreError> {
        let newest = newest_per_voter(ballots);
        let changed = self.note(match self {
            Self::Sqlite(store) => store.apply(&newest, dead).await,
            Self::Postgres(store) => store.apply(&newest, dead).await,
        })?;
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
        self.note(match self {
            Self::Sqlite(store) => store.tally().await,
            Self::Postgres(store) => store.tally().await,
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
        self.note(match self {
            Self::Sqlite(store) => store.timeline(from.as_millisecond(), step_ms).await,
            Self::Postgres(store) => store.timeline(from.as_millisecond(), step_ms).await,
        })
    }

    /// The first and the last moment on the timeline; `None`: it is empty.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn timeline_extent(&self) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let extent = self.note(match self {
            Self::Sqlite(store) => store.timeline_extent().await,
            Self::Postgres(store) => store.timeline_extent().await,
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
        self.note(match self {
            Self::Sqlite(store) => store.dead_letters().await,
            Self::Postgres(store) => store.dead_letters().await,
        })
    }

    /// Leaves word of how far this worker is, in the place of its last report, and removes reports of workers that have
    /// been silent for [`FORGET_REPORTS_AFTER`].
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn report_progress(&self, progress: &WorkerProgress) -> Result<(), StoreError> {
        self.note(match self {
            Self::Sqlite(store) => Box::pin(store.report_progress(progress)).await,
            Self::Postgres(store) => Box::pin(store.report_progress(progress)).await,
        })
    }

    /// The last report of every worker, also of those that are gone.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn progress(&self) -> Result<Vec<ProgressReport>, StoreError> {
        self.note(match self {
            Self::Sqlite(store) => store.progress().await,
            Self::Postgres(store) => store.progress().await,
        })
    }

    /// Checks that the store answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.note(match self {
            Self::Sqlite(store) => store.probe().await,
            Self::Postgres(store) => store.probe().await,
        })
    }

    /// Checks that the store answers and takes writes.
    ///
    /// # Errors
    /// It does not.
    pub async fn probe_writes(&self) -> Result<(), StoreError> {
        self.note(match self {
            Self::Sqlite(store) => store.probe().await,
            Self::Postgres(store) => store.probe_writes().await,
        })
    }

    /// Tells when the counts may have changed.
    #[must_use]
    pub fn changes(&self) -> Changes {
        match self {
            Self::Sqlite(store) => Changes::of_file(store.database(), self.metrics()),
            Self::Postgres(store) => Changes::of_server(store.pool(), self.metrics()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_refused_with_what_is_allowed_and_without_its_secrets() {
        for url in [
            "",
            "localhost:5432",
            "mysql://u:secret@host/db",
            "postgres://u:secret@host:port/db",
        ] {
            let message = url.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(message.contains("postgres://"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
