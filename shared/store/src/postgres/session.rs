//! Connections to Postgres, and the transactions that all work is done in.
//!
//! A pooler in transaction mode, such as PgBouncer, gives each transaction whatever connection to the server is free. So nothing
//! here outlives a transaction: its time limits are local to it, its locks end with it, and its statements have no names.
//! Source: <https://www.pgbouncer.org/features.html>.

use std::{future::pending, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions},
    query::{Query, QueryAs, QueryScalar},
};
use tokio::time::{sleep, timeout};

use crate::{StoreConfig, StoreError, StoreMetrics};

/// The wait for a connection after which the reason is looked for.
const LOOK_AFTER: Duration = Duration::from_millis(300);
/// The least time limit of making a connection; it is that of a transaction where that one is longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to one database. Cloning is cheap; clones share them.
#[derive(Clone)]
pub struct Sessions {
    options: Arc<PgConnectOptions>,
    pool: PgPool,
    timeout: Duration,
    connect_timeout: Duration,
    metrics: StoreMetrics,
}

impl Sessions {
    pub fn new(options: PgConnectOptions, config: &StoreConfig, metrics: StoreMetrics) -> Self {
        let connect_timeout = config.timeout.max(CONNECT_TIMEOUT);
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(connect_timeout)
            .connect_lazy_with(options.clone());
        Self {
            options: options.disable_statement_logging().into(),
            pool,
            timeout: config.timeout,
            connect_timeout,
            metrics,
        }
    }

    pub fn metrics(&self) -> &StoreMetrics {
        &self.metrics
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Begins a transaction that the server ends where its client is lost, after the same time as the client would wait.
    pub async fn begin(&self) -> Result<PostgresTransaction, StoreError> {
        let mut transaction = PostgresTransaction(Some(self.acquire().await?));
        let timeout_ms = self.timeout.as_millis();
        // When the network loses a client in the middle of a transaction, nobody tells the server: without the first
        // limit it would keep the counts locked, for hours, from every other worker.
        let begin = format!(
            "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {timeout_ms}; SET LOCAL lock_timeout = {timeout_ms}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin))
            .execute(transaction.connection())
            .await?;
        Ok(transaction)
    }

    /// Runs statements that need no more than one message to the server.
    pub async fn run(&self, statements: &'static str) -> Result<(), StoreError> {
        let mut work = PostgresTransaction(Some(self.acquire().await?));
        work.end(statements).await
    }

    /// A connection, when one is free or made.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let _waiting = self.metrics.waiting();
        // In a task of its own, which goes on when nobody waits any more: a connection that took too long is there for the
        // next one. Otherwise a busy server would always be asked for new ones, and never come to finish one.
        let pool = self.pool.clone();
        let mut acquiring = tokio::spawn(async move { pool.acquire().await });
        let ended = tokio::select! {
            biased;
            ended = &mut acquiring => ended,
            // The pool tries again without saying why.
            error = self.connection_error_after(LOOK_AFTER) => return Err(error),
        };
        match ended {
            Ok(acquired) => Ok(acquired?),
            Err(crash) => Err(StoreError::transient(crash.to_string())),
        }
    }

    /// Returns the reason why no connection can be made, as soon as it is known. Never resolves while one can.
    async fn connection_error_after(&self, wait: Duration) -> StoreError {
        sleep(wait).await;
        let limit = self.connect_timeout.saturating_sub(2 * wait);
        match timeout(limit, PgConnection::connect_with(&self.options)).await {
            Ok(Ok(connection)) => {
                drop(connection.close().await);
                pending().await
            }
            Ok(Err(error)) => error.into(),
            Err(_) => StoreError::connect_timeout(limit),
        }
    }
}

/// A transaction.
///
/// Its connection goes back to the pool only after a commit. Otherwise it is closed, which rolls back: a frozen server
/// would keep the next one waiting on it too, and the server's own timeouts do not help when it is the server that is
/// frozen.
pub struct PostgresTransaction(Option<PoolConnection<Postgres>>);

impl PostgresTransaction {
    pub fn connection(&mut self) -> &mut PgConnection {
        self.0
            .as_mut()
            .expect("a transaction has its connection until it is committed")
    }

    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    pub async fn roll_back(mut self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, how: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(how).execute(self.connection()).await?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

/// Gives up work that takes longer.
pub async fn with_timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::timeout(limit)))
}

/// A statement without a name.
pub fn query(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement without a name whose rows are read into a type.
pub fn query_as<T>(sql: &'static str) -> QueryAs<'static, Postgres, T, PgArguments>
where
    T: for<'row> sqlx::FromRow<'row, sqlx::postgres::PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// A statement without a name of whose rows the first column is read.
pub fn query_scalar<T>(sql: &'static str) -> QueryScalar<'static, Postgres, T, PgArguments>
where
    (T,): for<'row> sqlx::FromRow<'row, sqlx::postgres::PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}
