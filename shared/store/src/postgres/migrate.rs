//! Migrations of the tables in Postgres.

use std::{collections::HashSet, sync::LazyLock, time::Duration};

use poll::PollId;
use sqlx::{Connection, PgConnection, migrate::Migrator};

use super::session::{Sessions, query, query_scalar, with_timeout};
use crate::StoreError;

/// Migrations without the library's lock: that belongs to a session, and a pooler may give each transaction another session.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_locking(false);
    migrations
});

/// Timeout of the migrations. Counting a large table of the original app takes time.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(10);
/// Key of the advisory lock: an arbitrary number, the same for all services.
const MIGRATION_LOCK: i64 = 0x766f_7465;

/// Migrates the tables in one transaction. Votes of the original app become votes in the poll of the settings.
pub async fn migrate(sessions: &Sessions, settings_poll: &PollId) -> Result<(), StoreError> {
    with_timeout(MIGRATION_TIMEOUT, async {
        let mut connection = sessions.acquire().await?;
        // This connection is used once, with any outcome.
        connection.close_on_drop();
        // The library's transaction type, because the library nests its own transactions in it.
        let mut transaction = connection.begin().await?;
        if is_up_to_date(&mut transaction).await? {
            return Ok(transaction.commit().await?);
        }
        check_encoding(&mut transaction).await?;
        // The library uses named statements, which could collide with those of another client of the same pooler.
        sqlx::raw_sql("DEALLOCATE ALL")
            .execute(&mut *transaction)
            .await?;
        // Another process may be migrating.
        query("SELECT pg_advisory_xact_lock($1)")
            .bind(MIGRATION_LOCK)
            .execute(&mut *transaction)
            .await?;
        if is_up_to_date(&mut transaction).await? {
            return Ok(transaction.commit().await?);
        }
        query("SELECT set_config('voting_app.poll', $1, true)")
            .bind(settings_poll.as_str())
            .execute(&mut *transaction)
            .await?;
        // `run` does the same, but the compiler cannot prove that its future is Send.
        MIGRATIONS
            .run_direct(None, &mut *transaction, false)
            .await
            .map_err(from_migration)?;
        sqlx::raw_sql("DEALLOCATE ALL")
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    })
    .await
}

/// Classifies the error of a migration: invalid rows of the original app can be fixed on the server; a newer version of the
/// tables cannot.
fn from_migration(error: sqlx::migrate::MigrateError) -> StoreError {
    use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
    let is_sql = matches!(error, Execute(_) | ExecuteMigration(..));
    let error = StoreError::from(error);
    if is_sql {
        error
            .into_retryable()
            .with_context("its tables cannot be migrated")
    } else {
        error
    }
}

/// Returns true if all migrations are applied. Only reads, so a read-only role can use tables that are up to date.
async fn is_up_to_date(connection: &mut PgConnection) -> Result<bool, StoreError> {
    let exists: bool = query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Ok(false);
    }
    let applied: Vec<i64> = query_scalar("SELECT version FROM _sqlx_migrations WHERE success")
        .fetch_all(&mut *connection)
        .await?;
    let known: HashSet<i64> = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .collect();
    if let Some(newer) = applied.iter().find(|version| !known.contains(version)) {
        let message = format!(
            "its tables were created by a newer version of this program: migration {newer} is unknown here"
        );
        return Err(StoreError::permanent(message));
    }
    Ok(applied.len() == known.len())
}

/// Checks that the database can store any character: questions, labels and dead letters may contain it.
async fn check_encoding(connection: &mut PgConnection) -> Result<(), StoreError> {
    let encoding: String = query_scalar("SELECT current_setting('server_encoding')")
        .fetch_one(connection)
        .await?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::transient(format!(
        "the database has the encoding {encoding}; it must be UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks for ASCII: the database's encoding may lack other characters.
    #[test]
    fn migrations_are_ascii() {
        for migration in MIGRATIONS.iter() {
            assert!(
                migration.sql.as_str().is_ascii(),
                "{}",
                migration.description
            );
        }
    }
}
