//! Reasons why a database file cannot be opened.

use std::path::PathBuf;

use sqlx::{error::DatabaseError, migrate::MigrateError};

/// Error of opening a database file; the source has the reason.
#[derive(Debug, thiserror::Error)]
#[error("the database {} cannot be used", path.display())]
pub struct OpenError {
    pub(super) path: PathBuf,
    pub(super) source: Cause,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("its path is not UTF-8; choose another DATA_DIR")]
    NotUnicode,
    #[error("it is not an SQLite database; move that file, or choose another folder or file")]
    NotADatabase,
    #[error(
        "it is the database of another program (it has a table {0:?}); choose another folder or file"
    )]
    Foreign(String),
    #[error(
        "its file system does not support shared memory, which is needed to share a database between processes; most network \
         file systems do not; choose a folder on a local disk"
    )]
    NoSharedMemory,
    #[error(transparent)]
    Sql(sqlx::Error),
    #[error(
        "its tables were created by a newer version of this program: migration {0} is unknown here"
    )]
    Newer(i64),
    #[error(
        "its tables were created by this program before its first release; move that file, or choose another folder or file"
    )]
    Unreleased,
    #[error(transparent)]
    Migrate(MigrateError),
}

/// Source: <https://www.sqlite.org/rescode.html#notadb>.
const SQLITE_NOTADB: i32 = 26;
/// `SQLITE_IOERR_SHMOPEN`, `SHMSIZE`, `SHMLOCK` and `SHMMAP`, and `SQLITE_PROTOCOL`, the error without working locks.
/// Source: <https://www.sqlite.org/rescode.html#ioerr_shmopen>.
const SHARED_MEMORY: [i32; 5] = [4618, 4874, 5130, 5386, 15];

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let code = code.and_then(|code| code.parse().ok());
        match code {
            Some(SQLITE_NOTADB) => Self::NotADatabase,
            Some(code) if SHARED_MEMORY.contains(&code) => Self::NoSharedMemory,
            _ => Self::Sql(error),
        }
    }
}

/// Returns the message of SQLite or the file system without the text that the library adds.
#[must_use]
pub fn error_message(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

impl From<MigrateError> for Cause {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            MigrateError::VersionMismatch(_) => Self::Unreleased,
            MigrateError::Execute(error) => error.into(),
            other => Self::Migrate(other),
        }
    }
}
