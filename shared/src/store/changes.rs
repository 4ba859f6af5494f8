//! How a reader learns that the counts may have changed.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::{PgPool, Sqlite, pool::PoolConnection, postgres::PgListener, sqlite::SqliteConnection};
use tokio::time::sleep;

use super::{StoreError, StoreMetrics};
use crate::sqlite::Database;

const CHANNEL: &str = "tally_changed";
/// SQLite tells a process of another's commits only when asked; asking costs microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Tells when the counts may have changed: too often rather than too seldom.
pub struct Changes {
    source: Source,
    metrics: StoreMetrics,
}

enum Source {
    File {
        database: Database,
        connection: Option<PoolConnection<Sqlite>>,
        seen: i64,
    },
    Server {
        pool: PgPool,
        listener: Option<PgListener>,
    },
}

impl Changes {
    pub(super) fn of_file(database: &Database, metrics: &StoreMetrics) -> Self {
        let source = Source::File {
            database: database.clone(),
            connection: None,
            seen: 0,
        };
        Self::of(source, metrics)
    }

    pub(super) fn of_server(pool: &PgPool, metrics: &StoreMetrics) -> Self {
        let source = Source::Server {
            pool: pool.clone(),
            listener: None,
        };
        Self::of(source, metrics)
    }

    fn of(source: Source, metrics: &StoreMetrics) -> Self {
        Self {
            source,
            metrics: metrics.clone(),
        }
    }

    /// Waits until the counts may have changed since the last call. Returns at once after every new connection, for
    /// what happened before it was not heard. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The store cannot be listened to; the next call connects again.
    pub async fn changed(&mut self) -> Result<(), StoreError> {
        let changed = self.source.changed().await;
        self.metrics.note(changed)
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
            Self::Server { pool, listener } => {
                let Some(listening) = listener else {
                    let mut fresh = PgListener::connect_with(pool).await?;
                    fresh.listen(CHANNEL).await?;
                    *listener = Some(fresh);
                    return Ok(());
                };
                // `None`: the connection was lost, and so, perhaps, was a notification.
                match listening.try_recv().await {
                    Ok(_) => {
                        // A burst of commits is one change, not one for each of them.
                        while let Some(Ok(_)) = listening.try_recv().now_or_never() {}
                        Ok(())
                    }
                    Err(error) => {
                        *listener = None;
                        Err(error.into())
                    }
                }
            }
        }
    }
}

/// Differs from the last answer on the same connection when any other connection has committed since.
/// Source: <https://www.sqlite.org/pragma.html#pragma_data_version>.
async fn data_version(reader: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(reader)
        .await
}
