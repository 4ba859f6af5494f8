//! The embedded database: one SQLite file that holds the queue, the store, or both.
//!
//! It is real storage: WAL with `synchronous=FULL`, so a commit is on the disk before it is answered, and any number of
//! processes on one machine may share the file.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::Duration,
};

use sqlx::{
    SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    sqlite::{
        Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
    },
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a writer waits for another process's transaction to end.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// An open database file. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Database(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    readers: SqlitePool,
    /// One connection: SQLite has one writer at a time, and waiting here in line is fairer than polling for its lock.
    writer: SqlitePool,
}

/// The files this process has open, so that the queue and the store in one file share one writing connection.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Connections>>>> = LazyLock::new(Mutex::default);

impl Database {
    /// Opens the file, creating it and its folder where they are missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The folder or the file cannot be written, or the file is not such a database or was made by a newer version.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError {
            path: path.to_owned(),
            source,
        };
        let path = prepare_folder(path).map_err(|error| failed(error.into()))?;
        let database = Self::shared(&path);
        database.migrate(&path).await.map_err(failed)?;
        Ok(database)
    }

    fn shared(path: &Path) -> Self {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
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
            readers: pool(READERS).connect_lazy_with(options.clone()),
            writer: pool(1).connect_lazy_with(options),
        });
        open.insert(path.to_owned(), Arc::downgrade(&connections));
        Self(connections)
    }

    /// Connections for reading.
    #[must_use]
    pub fn readers(&self) -> &SqlitePool {
        &self.0.readers
    }

    /// How many connections there are, and how many of them are idle.
    #[must_use]
    pub fn connections(&self) -> (u32, usize) {
        let Connections { readers, writer } = &*self.0;
        let all = readers.size() + writer.size();
        (all, readers.num_idle() + writer.num_idle())
    }

    /// Begins a transaction that holds SQLite's write lock from the start.
    ///
    /// # Errors
    /// Another process kept the lock too long, or the file cannot be read.
    pub async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.0.writer.begin_with("BEGIN IMMEDIATE").await
    }

    async fn migrate(&self, path: &Path) -> Result<(), Cause> {
        // SQLite has no advisory locks: a lock file keeps two starting processes from migrating at once.
        let lock = path.with_added_extension("lock");
        let held = tokio::task::spawn_blocking(move || lock_file(&lock))
            .await
            .map_err(std::io::Error::other)??;
        MIGRATIONS.run(&self.0.writer).await?;
        drop(held);
        Ok(())
    }
}

/// The path as it is used, whatever folder the process is in later.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn prepare_folder(path: &Path) -> std::io::Result<PathBuf> {
    let path = absolute(path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(path)
}

fn lock_file(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.lock()?;
    Ok(file)
}

/// The database cannot be used. The source says why.
#[derive(Debug, thiserror::Error)]
#[error("the database {} cannot be used", path.display())]
pub struct OpenError {
    path: PathBuf,
    source: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it is not an SQLite database; move it away, or choose another folder or file")]
    NotADatabase,
    #[error(transparent)]
    Sql(sqlx::Error),
    #[error(
        "its tables were made by a newer version of this program: migration {0} is unknown here"
    )]
    Newer(i64),
    #[error(transparent)]
    Migrate(MigrateError),
}

/// Source: <https://www.sqlite.org/rescode.html#notadb>.
const SQLITE_NOTADB: &str = "26";

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some(SQLITE_NOTADB) => Self::NotADatabase,
            _ => Self::Sql(error),
        }
    }
}

impl From<MigrateError> for Cause {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            MigrateError::Execute(error) => error.into(),
            other => Self::Migrate(other),
        }
    }
}

/// Where the file of a `sqlite://` URL is.
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
    fn a_url_names_a_file() {
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
    async fn a_file_that_is_no_database_is_refused_by_name() {
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
            "it is said once: {message}"
        );
    }
}
