//! The embedded database: one SQLite file with the queue, the store, or both.
//!
//! It is durable: WAL with `synchronous=FULL`, so a commit is on the disk when it returns. Any number of processes on one machine
//! can share the file.

mod error;
mod file;
pub mod private;
mod settings;
mod write;

use std::{
    collections::HashMap,
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::timeout;

use error::Cause;
pub use error::{OpenError, error_message};
use file::OpenedFile;
pub use settings::DataSettings;
pub use write::WriteTransaction;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Timeout of waiting for another process' write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of connections for reading.
const MAX_READERS: u32 = 4;
/// Timeout of a probe's write.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);

/// An open database file. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Database(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    readers: SqlitePool,
    /// One connection: SQLite has one writer at a time, and the pool's FIFO order is fairer than polling for the lock.
    writer: SqlitePool,
    file: OpenedFile,
}

/// Open files of this process. The queue and the store in one file share one connection for writing.
static OPEN_FILES: LazyLock<Mutex<HashMap<PathBuf, Weak<Connections>>>> =
    LazyLock::new(Mutex::default);

impl Database {
    /// Opens the file and migrates its tables. Creates the file and its folder if they are missing.
    ///
    /// # Errors
    /// The folder or the file cannot be written, the file system does not support shared memory or locks, or the file is no
    /// database of this program or was created by a newer version.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError {
            path: path.to_owned(),
            source,
        };
        if path.to_str().is_none() {
            return Err(failed(Cause::NotUnicode));
        }
        let path = create_parent_folder(path).map_err(|error| failed(error.into()))?;
        let database = Self::open_shared(&path);
        database.migrate(&path).await.map_err(failed)?;
        Ok(database)
    }

    fn open_shared(path: &Path) -> Self {
        let mut open = OPEN_FILES.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, connections| connections.strong_count() > 0);
        if let Some(connections) = open.get(path).and_then(Weak::upgrade) {
            return Self(connections);
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let connections = Arc::new(Connections {
            readers: pool(MAX_READERS).connect_lazy_with(options.clone().create_if_missing(false)),
            writer: pool(1).connect_lazy_with(options.clone()),
            file: OpenedFile::new(path),
        });
        open.insert(path.to_owned(), Arc::downgrade(&connections));
        Self(connections)
    }

    /// Returns the connections for reading.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }

    /// Returns the number of connections and the number of idle ones.
    #[must_use]
    pub fn connection_counts(&self) -> (u32, usize) {
        let Connections {
            readers, writer, ..
        } = &*self.0;
        let all = readers.size() + writer.size();
        (all, readers.num_idle() + writer.num_idle())
    }

    /// Checks that the open file is still at its path.
    ///
    /// # Errors
    /// The file was removed, moved or replaced.
    pub fn ensure_in_place(&self) -> std::io::Result<()> {
        self.0.file.ensure_in_place()
    }

    /// Begins a transaction that holds SQLite's write lock from the start.
    ///
    /// # Errors
    /// Another process held the lock for too long, or the file cannot be read or was removed.
    pub async fn write(&self) -> Result<WriteTransaction, sqlx::Error> {
        WriteTransaction::begin(&self.0.writer, self.0.file.clone()).await
    }

    /// Checks that the file is at its path and can be written. Writes to it unless there was a commit a moment ago.
    ///
    /// # Errors
    /// The file was removed, the disk is full, or another process holds the write lock.
    pub async fn probe(&self) -> Result<(), sqlx::Error> {
        self.ensure_in_place()?;
        if self.0.file.was_committed_within(PROBE_TIMEOUT) {
            return Ok(());
        }
        let probe = async {
            let mut write = self.write().await?;
            // A number for applications, which this program does not use otherwise.
            sqlx::query("PRAGMA user_version = 0")
                .execute(&mut *write)
                .await?;
            write.commit().await
        };
        timeout(PROBE_TIMEOUT, probe).await.unwrap_or_else(|_| {
            let message = format!(
                "no write within {PROBE_TIMEOUT:?}; another process may have locked the database"
            );
            Err(std::io::Error::new(ErrorKind::TimedOut, message).into())
        })
    }

    /// Moves the write-ahead log into the file, so that the file is complete by itself. Logs a warning if that fails.
    pub async fn checkpoint(&self) {
        let checkpoint = async {
            self.ensure_in_place()?;
            let mut writer = self.0.writer.acquire().await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(&mut *writer)
                .await
        };
        if let Err(error) = checkpoint.await {
            let error = error_message(&error);
            tracing::warn!(
                error,
                "checkpoint failed; the database needs its write-ahead log"
            );
        }
    }

    /// Writes a consistent copy of the database into a new file.
    ///
    /// # Errors
    /// The file exists or cannot be written.
    pub async fn copy_to(&self, file: &Path) -> Result<(), sqlx::Error> {
        let file = file
            .to_str()
            .ok_or_else(|| std::io::Error::new(ErrorKind::InvalidInput, "the path is not UTF-8"))?;
        let mut reader = self.0.readers.acquire().await?;
        sqlx::query("VACUUM INTO ?1")
            .bind(file)
            .execute(&mut *reader)
            .await
            .map(drop)
    }

    async fn migrate(&self, path: &Path) -> Result<(), Cause> {
        // SQLite has no advisory locks. A lock file prevents two processes from migrating at the same time.
        let lock_path = path.with_added_extension("lock");
        let lock = tokio::task::spawn_blocking(move || lock_file(&lock_path))
            .await
            .map_err(std::io::Error::other)??;
        // SQLite creates its other files with the same permissions.
        private::open_or_create(path)?;
        reject_foreign(path).await?;
        let mut writer = self.0.writer.acquire().await?;
        MIGRATIONS.run_direct(None, &mut *writer, false).await?;
        self.0.file.record_identity();
        drop(lock);
        Ok(())
    }
}

/// Rejects a database of another program before anything in it is changed.
async fn reject_foreign(path: &Path) -> Result<(), Cause> {
    if !path.exists() {
        return Ok(());
    }
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    // The last migrations may not be applied yet.
    let foreign: Option<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema
         WHERE type = 'table' AND name NOT LIKE 'sqlite%'
             AND name NOT IN ('_sqlx_migrations', 'votes', 'tally', 'timeline', 'dead_letters')
             AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'last_ballot')
         LIMIT 1",
    )
    .fetch_optional(&mut connection)
    .await?;
    connection.close().await?;
    foreign.map_or(Ok(()), |table| Err(Cause::Foreign(table)))
}

/// Returns the absolute path.
#[must_use]
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn create_parent_folder(path: &Path) -> std::io::Result<PathBuf> {
    let path = absolute(path);
    if let Some(folder) = path.parent() {
        private::create_folder(folder)?;
    }
    Ok(path)
}

fn lock_file(path: &Path) -> std::io::Result<File> {
    let file = private::open_or_create(path)?;
    file.lock()?;
    Ok(file)
}

/// Path of a `sqlite://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlitePath(pub PathBuf);

impl FromStr for SqlitePath {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write sqlite://FOLDER/FILE, such as sqlite://data/voting.db or sqlite:///var/lib/voting.db";
        match url.strip_prefix("sqlite://") {
            Some(path)
                if !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#']) =>
            {
                Ok(Self(path.into()))
            }
            _ => Err(ALLOWED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed_into_a_path() {
        assert_eq!(
            "sqlite://data/voting.db".parse(),
            Ok(SqlitePath("data/voting.db".into()))
        );
        assert_eq!(
            "sqlite:///srv/v.db".parse(),
            Ok(SqlitePath("/srv/v.db".into()))
        );
        for bad in [
            "sqlite://",
            "sqlite:x.db",
            "sqlite://folder/",
            "sqlite://x.db?mode=memory",
        ] {
            assert!(bad.parse::<SqlitePath>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn commits_are_synchronous_and_in_the_write_ahead_log() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("new/folder/v.db"))
            .await
            .unwrap();
        let mut write = database.write().await.unwrap();
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut *write)
            .await
            .unwrap();
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut *write)
            .await
            .unwrap();
        assert_eq!((mode.as_str(), synchronous), ("wal", 2));
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_rejected_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.db");
        std::fs::write(&path, "not a database, and long enough to be read as one").unwrap();
        let message = format!(
            "{:#}",
            anyhow::Error::from(Database::open(&path).await.unwrap_err())
        );
        assert!(
            message.contains("v.db cannot be used: it is not an SQLite database; "),
            "{message}"
        );
        assert_eq!(
            message.matches("database").count(),
            2,
            "the reason occurs once: {message}"
        );
    }
}
