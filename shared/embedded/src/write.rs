//! Write transactions.

use std::ops::{Deref, DerefMut};

use sqlx::{
    Sqlite,
    pool::PoolConnection,
    sqlite::{SqliteConnection, SqlitePool},
};

use super::file::OpenedFile;

/// A transaction that holds SQLite's write lock from its start.
///
/// The connection returns to the pool only after a commit. Otherwise it is closed, which rolls back: SQLite rolls back some
/// failed transactions by itself (`SQLITE_FULL`, `SQLITE_IOERR`, `SQLITE_NOMEM`, `SQLITE_INTERRUPT`), and then the state of
/// the connection is unknown to the pool and the library.
/// Source: <https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>.
pub struct WriteTransaction {
    /// `None` after the commit.
    connection: Option<PoolConnection<Sqlite>>,
    file: OpenedFile,
}

impl WriteTransaction {
    pub(super) async fn begin(writer: &SqlitePool, file: OpenedFile) -> Result<Self, sqlx::Error> {
        file.ensure_in_place()?;
        let mut write = Self {
            connection: Some(writer.acquire().await?),
            file,
        };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *write).await?;
        Ok(write)
    }

    /// Commits. Afterwards the change is on the disk, in the file at its path.
    ///
    /// # Errors
    /// Nothing was changed, or the file was removed meanwhile and the change is lost.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.file.ensure_in_place()?;
        self.file.record_commit();
        self.connection = None;
        Ok(())
    }
}

impl Deref for WriteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect(HAS_CONNECTION)
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect(HAS_CONNECTION)
    }
}

const HAS_CONNECTION: &str = "a transaction has its connection until it is committed";

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        drop(self.connection.take().map(PoolConnection::detach));
    }
}
