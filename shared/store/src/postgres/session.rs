//! Connections to Postgres, and transactions.
//!
//! A pooler in transaction mode, such as PgBouncer, gives each transaction any free connection to the server. So no state
//! outlives a transaction: timeouts are local to it, locks end with it, and statements have no names.
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

/// Wait for a connection after which its error is determined.
const DIAGNOSIS_DELAY: Duration = Duration::from_millis(300);
/// Minimum timeout of connecting; the timeout of a transaction where that is longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to one database. Cloning is cheap; clones share them.
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

    /// Begins a transaction that the server ends if the client is lost, after the client's own timeout.
    pub async fn begin(&self) -> Result<PostgresTransaction, StoreError> {
        let mut transaction = PostgresTransaction(Some(self.acquire().await?));
        let timeout_ms = self.timeout.as_millis();
        // If the network loses a client in the middle of a transaction, the server does not notice: without the first timeout
        // the counts would stay locked for all other workers for hours.
        let begin = format!(
            "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {timeout_ms}; SET LOCAL lock_timeout = {timeout_ms}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(begin))
            .execute(transaction.connection())
            .await?;
        Ok(transaction)
    }

    /// Runs statements that fit in one message to the server.
    pub async fn run(&self, statements: &'static str) -> Result<(), StoreError> {
        let mut transaction = PostgresTransaction(Some(self.acquire().await?));
        transaction.end(statements).await
    }

    /// Acquires a connection: an idle or a new one.
    pub async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let _timer = self.metrics.start_wait_timer();
        // A separate task completes the connection even after a timeout, for the next caller. Otherwise each caller
        // would open a new connection to an overloaded server, which would never complete one.
        let pool = self.pool.clone();
        let mut acquiring = tokio::spawn(async move { pool.acquire().await });
        let ended = tokio::select! {
            biased;
            ended = &mut acquiring => ended,
            // The pool retries without reporting errors.
            error = self.connection_error_after(DIAGNOSIS_DELAY) => return Err(error),
        };
        match ended {
            Ok(acquired) => Ok(acquired?),
            Err(crash) => Err(StoreError::transient(crash.to_string())),
        }
    }

    /// Connects separately and returns the error. Never resolves if that succeeds.
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
/// The connection returns to the pool only after a commit. Otherwise it is closed, which rolls back: if the server is frozen,
/// the next transaction on the connection would wait, too, and the server's own timeouts have no effect then.
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

    async fn end(&mut self, statements: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(statements).execute(self.connection()).await?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        drop(self.0.take().map(PoolConnection::detach));
    }
}

/// Cancels work that takes longer than the limit.
pub async fn with_timeout<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(StoreError::timeout(limit)))
}

/// Returns an unnamed statement.
pub fn query(sql: &'static str) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// Returns an unnamed statement whose rows are converted to a type.
pub fn query_as<T>(sql: &'static str) -> QueryAs<'static, Postgres, T, PgArguments>
where
    T: for<'row> sqlx::FromRow<'row, sqlx::postgres::PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}

/// Returns an unnamed statement that reads the first column of each row.
pub fn query_scalar<T>(sql: &'static str) -> QueryScalar<'static, Postgres, T, PgArguments>
where
    (T,): for<'row> sqlx::FromRow<'row, sqlx::postgres::PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}
