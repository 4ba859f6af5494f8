//! How a reader learns that the counts may have changed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use sqlx::{
    PgPool, Sqlite, error::DatabaseError, pool::PoolConnection, postgres::PgListener,
    sqlite::SqliteConnection,
};
use tokio::time::{sleep, timeout};

use super::{StoreError, StoreMetrics};
use embedded::Database;

const CHANNEL: &str = "tally_changed";
/// SQLite tells a process of another's commits only when asked; asking costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The interval of looks where the server does not notify.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// The time limit of a notification to oneself.
const ECHO_TIMEOUT: Duration = Duration::from_secs(1);
/// The interval of attempts to be notified: a replica may have become the primary.
const LISTEN_EVERY: Duration = Duration::from_mins(1);
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const READ_ONLY: &str = "25006";

/// Tells when the counts may have changed: too often rather than too seldom.
pub struct Changes {
    source: Source,
    metrics: StoreMetrics,
    location: Arc<str>,
}

enum Source {
    File {
        database: Database,
        connection: Option<PoolConnection<Sqlite>>,
        seen: i64,
    },
    Server {
        pool: PgPool,
        listening: Listening,
    },
}

/// The way in which changes are noticed.
enum Listening {
    /// That is to be found out.
    Unknown,
    Notified(Box<PgListener>),
    /// It does not: it is a read replica, or a pooler between gives each transaction another connection.
    Polling {
        since: Instant,
    },
}

impl Changes {
    pub(super) fn of_file(
        database: &Database,
        metrics: &StoreMetrics,
        location: &Arc<str>,
    ) -> Self {
        let source = Source::File {
            database: database.clone(),
            connection: None,
            seen: 0,
        };
        Self::of(source, metrics, location)
    }

    pub(super) fn of_server(pool: &PgPool, metrics: &StoreMetrics, location: &Arc<str>) -> Self {
        let source = Source::Server {
            pool: pool.clone(),
            listening: Listening::Unknown,
        };
        Self::of(source, metrics, location)
    }

    fn of(source: Source, metrics: &StoreMetrics, location: &Arc<str>) -> Self {
        Self {
            source,
            metrics: metrics.clone(),
            location: location.clone(),
        }
    }

    /// Waits until the counts may have changed since the last call. Returns at once after every new connection, for
    /// what happened before it was not heard. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The store cannot be listened to; the next call connects again.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        let changed = self.source.changed().await;
        self.metrics
            .record_error(changed.map_err(|error| error.with_location(&self.location)))
    }
}

impl Source {
    async fn changed(&mut self) -> Result<(), StoreError> {
        match self {
            Self::File {
                database,
                connection,
                seen,
            } => {
                if connection.is_none() {
                    *connection = Some(database.readers().acquire().await?);
                }
                loop {
                    let Some(reader) = connection.as_mut() else {
                        return Ok(());
                    };
                    let version = data_version(reader).await?;
                    if version != std::mem::replace(seen, version) {
                        return Ok(());
                    }
                    sleep(LOOK_EVERY).await;
                }
            }
            Self::Server { pool, listening } => match listening {
                Listening::Unknown => {
                    *listening = listen(pool).await?;
                    Ok(())
                }
                Listening::Polling { since } => {
                    sleep(POLL_EVERY).await;
                    if since.elapsed() > LISTEN_EVERY {
                        *listening = Listening::Unknown;
                    }
                    Ok(())
                }
                // `None`: the connection was lost, and so, perhaps, was a notification.
                Listening::Notified(listener) => match listener.try_recv().await {
                    Ok(_) => {
                        // A burst of commits is one change, not one for each of them.
                        while let Some(Ok(_)) = listener.try_recv().now_or_never() {}
                        Ok(())
                    }
                    Err(error) => {
                        *listening = Listening::Unknown;
                        Err(error.into())
                    }
                },
            },
        }
    }
}

/// Listens, and finds out by a notification to itself whether that is of any use.
async fn listen(pool: &PgPool) -> Result<Listening, StoreError> {
    let mut listener = PgListener::connect_with(pool).await?;
    let polling = |why: &str| {
        tracing::info!(why, "changes of the tally are looked for, not notified");
        Ok(Listening::Polling {
            since: Instant::now(),
        })
    };
    if let Err(error) = listener.listen(CHANNEL).await {
        let code = error.as_database_error().and_then(DatabaseError::code);
        return match code.as_deref() {
            Some(READ_ONLY) => polling("the server is a read replica"),
            _ => Err(error.into()),
        };
    }
    sqlx::raw_sql("NOTIFY tally_changed").execute(pool).await?;
    match timeout(ECHO_TIMEOUT, listener.recv()).await {
        Ok(Ok(_)) => Ok(Listening::Notified(Box::new(listener))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => polling("a pooler between gives each transaction another connection"),
    }
}

/// Differs from the last answer on the same connection when any other connection has committed since.
/// Source: <https://www.sqlite.org/pragma.html#pragma_data_version>.
async fn data_version(reader: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(reader)
        .await
}
