//! Notification of readers about changes of the counts.

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
/// Interval of polling the embedded file: SQLite does not notify other processes of commits, and a poll costs microseconds.
const FILE_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Interval of polling a server that does not notify.
const SERVER_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Timeout of the test notification.
const ECHO_TIMEOUT: Duration = Duration::from_secs(1);
/// Interval of attempts to listen again: a replica may have become the primary.
const LISTEN_RETRY_INTERVAL: Duration = Duration::from_mins(1);
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const READ_ONLY: &str = "25006";

/// Listener for changes of the counts. It may report a change that did not happen, but misses none.
pub struct Changes {
    source: Source,
    metrics: StoreMetrics,
    location: Arc<str>,
}

enum Source {
    File {
        database: Database,
        connection: Option<PoolConnection<Sqlite>>,
        version: i64,
    },
    Server {
        pool: PgPool,
        mode: ListenMode,
    },
}

/// Mode of detecting changes on a server.
enum ListenMode {
    /// To be determined.
    Unknown,
    /// The server notifies.
    Notified(Box<PgListener>),
    /// The server does not notify: it is a read replica, or a pooler gives each transaction another connection.
    Polling { since: Instant },
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
            version: 0,
        };
        Self::of(source, metrics, location)
    }

    pub(super) fn of_server(pool: &PgPool, metrics: &StoreMetrics, location: &Arc<str>) -> Self {
        let source = Source::Server {
            pool: pool.clone(),
            mode: ListenMode::Unknown,
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

    /// Waits until the counts may have changed since the last call. Returns immediately after every new connection, because
    /// earlier notifications were missed. Cancel safe.
    ///
    /// # Errors
    /// The store is unreachable; the next call connects again.
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
                version,
            } => {
                if connection.is_none() {
                    *connection = Some(database.readers().acquire().await?);
                }
                loop {
                    let Some(reader) = connection.as_mut() else {
                        return Ok(());
                    };
                    let current = data_version(reader).await?;
                    if current != std::mem::replace(version, current) {
                        return Ok(());
                    }
                    sleep(FILE_POLL_INTERVAL).await;
                }
            }
            Self::Server { pool, mode } => match mode {
                ListenMode::Unknown => {
                    *mode = listen(pool).await?;
                    Ok(())
                }
                ListenMode::Polling { since } => {
                    sleep(SERVER_POLL_INTERVAL).await;
                    if since.elapsed() > LISTEN_RETRY_INTERVAL {
                        *mode = ListenMode::Unknown;
                    }
                    Ok(())
                }
                // `None` means that the connection was lost, possibly with a notification.
                ListenMode::Notified(listener) => match listener.try_recv().await {
                    Ok(_) => {
                        // Several queued notifications are reported as one change.
                        while let Some(Ok(_)) = listener.try_recv().now_or_never() {}
                        Ok(())
                    }
                    Err(error) => {
                        *mode = ListenMode::Unknown;
                        Err(error.into())
                    }
                },
            },
        }
    }
}

/// Listens, and tests with a notification to itself that notifications arrive.
async fn listen(pool: &PgPool) -> Result<ListenMode, StoreError> {
    let mut listener = PgListener::connect_with(pool).await?;
    let polling = |reason: &str| {
        tracing::info!(reason, "no notifications; polling for changes of the tally");
        Ok(ListenMode::Polling {
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
        Ok(Ok(_)) => Ok(ListenMode::Notified(Box::new(listener))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => polling("a pooler gives each transaction another connection"),
    }
}

/// Returns a number that changes when another connection commits.
/// Source: <https://www.sqlite.org/pragma.html#pragma_data_version>.
async fn data_version(reader: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(reader)
        .await
}
