//! Errors of the store and their classes.

use std::{fmt, io, sync::Arc, time::Duration};

use sqlx::{error::DatabaseError, migrate::MigrateError};

/// Reason why an operation on the store failed.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// Class of the error.
    pub class: ErrorClass,
    /// Location of the store.
    location: Option<Arc<str>>,
    message: String,
    is_schema_error: bool,
}

impl std::error::Error for StoreError {}

/// Formats the location of the store, the setting that names it, and the message.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_deref().unwrap_or("the store");
        write!(f, "{location}: {}", self.message)
    }
}

/// Class of an error: retryable or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Retryable: the store is unreachable, busy, or not set up.
    Transient,
    /// Retryable: no reply within the timeout.
    Timeout,
    /// Not retryable: the store rejects the data.
    Permanent,
}

impl ErrorClass {
    pub(super) const ALL: [Self; 3] = [Self::Transient, Self::Timeout, Self::Permanent];

    /// Returns the value of the metric's label and of the error type in traces.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Timeout => "timeout",
            Self::Permanent => "permanent",
        }
    }
}

impl StoreError {
    fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            location: None,
            message: message.into(),
            is_schema_error: false,
        }
    }

    pub(super) fn timeout(limit: Duration) -> Self {
        Self::new(ErrorClass::Timeout, format!("no reply within {limit:?}"))
    }

    pub(super) fn connect_timeout(limit: Duration) -> Self {
        let message = format!(
            "no connection within {limit:?}: the server is overloaded or unreachable, or the port is not that of Postgres"
        );
        Self::new(ErrorClass::Timeout, message)
    }

    pub(super) fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, message)
    }

    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message)
    }

    /// Sets the location.
    pub(super) fn with_location(self, location: &Arc<str>) -> Self {
        Self {
            location: Some(location.clone()),
            ..self
        }
    }

    /// Makes a permanent error transient: for causes that can be fixed on the server.
    #[must_use]
    pub fn into_retryable(self) -> Self {
        let class = match self.class {
            ErrorClass::Permanent => ErrorClass::Transient,
            other => other,
        };
        Self { class, ..self }
    }

    /// Adds a prefix to the message.
    #[must_use]
    pub fn with_context(self, context: &str) -> Self {
        Self {
            message: format!("{context}: {}", self.message),
            ..self
        }
    }

    /// Returns true if tables, columns or functions are missing or differ from the expected ones.
    pub(super) fn is_schema_error(&self) -> bool {
        self.is_schema_error
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let code = code.as_deref();
        let class = match &error {
            _ if code.is_some_and(is_permanent) => ErrorClass::Permanent,
            sqlx::Error::PoolTimedOut => ErrorClass::Timeout,
            _ => ErrorClass::Transient,
        };
        let message = message(&error);
        let is_schema_error = code
            .is_some_and(|code| is_missing_table(code) || (code == "1" && is_no_such(&message)));
        Self {
            is_schema_error,
            ..Self::new(class, message)
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            // A released migration never changes.
            MigrateError::VersionMismatch(_) => Self::permanent(
                "its tables were created by this program before its first release; use another database",
            ),
            other => Self::permanent(format!("its tables cannot be migrated: {other}")),
        }
    }
}

/// Describes an error and adds advice for operators.
fn message(error: &sqlx::Error) -> String {
    use sqlx::Error::{Configuration, Database, Io, PoolTimedOut, Protocol, Tls};
    match error {
        Database(error) => {
            let text = error.message();
            format!("{text}{}", error.code().as_deref().map_or("", advice))
        }
        Io(error) => io_message(error),
        Tls(error) => tls_message(&error.to_string()),
        Protocol(text) => format!(
            "the server does not speak Postgres' protocol ({text}); the port must be that of Postgres"
        ),
        PoolTimedOut => {
            "no connection became free in time; STORE_MAX_CONNECTIONS limits their number".into()
        }
        Configuration(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn io_message(error: &io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            format!("the connection was closed ({text})")
        }
        // The standard library has no error kind for this.
        _ if text.contains("lookup address") => format!("there is no host of that name ({text})"),
        _ if text.contains("certificate") => tls_message(&text),
        _ => text,
    }
}

fn tls_message(text: &str) -> String {
    if text.contains("certificate") {
        format!(
            "its TLS certificate is not trusted ({text}); sslrootcert=FILE in DATABASE_URL must name the authority \
             that signed it, and the host must be one that it names"
        )
    } else {
        format!("{text}; sslmode in DATABASE_URL must match the server's TLS setting")
    }
}

/// Returns advice where the server's own message has none.
fn advice(code: &str) -> &'static str {
    match code {
        "28P01" => "; DATABASE_URL must name a user and password that this server accepts",
        "28000" => {
            "; DATABASE_URL must name a user and password, and an sslmode, that this server accepts"
        }
        "3D000" => "; DATABASE_URL must name a database that exists",
        "42501" => "; the user in DATABASE_URL lacks permissions that this service needs",
        "25006" => "; the server is read-only, and DATABASE_URL must name one that accepts writes",
        "53300" => {
            "; raise max_connections on the server, or lower STORE_MAX_CONNECTIONS or the number of services"
        }
        _ => "",
    }
}

/// Returns true if the data is rejected: Postgres' classes 22 (data exception) and 23 (integrity constraint violation), and
/// SQLite's constraint (19) and datatype mismatch (20) with their extended codes. All other errors are retryable: the server
/// may come back, get free space or be repaired. Sources: <https://www.postgresql.org/docs/current/errcodes-appendix.html>,
/// <https://www.sqlite.org/rescode.html>.
fn is_permanent(code: &str) -> bool {
    if code.len() == 5 {
        return code.starts_with("22") || code.starts_with("23");
    }
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 19 | 20))
}

/// Returns true for an undefined table, column, function or schema, and for a table without the constraint that ON CONFLICT
/// names.
fn is_missing_table(code: &str) -> bool {
    matches!(code, "42P01" | "42703" | "42883" | "3F000" | "42P10")
}

/// Returns true if a table or column is missing: SQLite has one code for all errors of a statement.
fn is_no_such(message: &str) -> bool {
    message.starts_with("no such ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rejected_data_is_a_permanent_error() {
        for code in ["22021", "22001", "23505", "275", "1555", "19", "20"] {
            assert!(is_permanent(code), "{code}");
        }
        for code in [
            "40001", "40P01", "53100", "57P01", "57014", "08006", "42P01", "42501", "28P01", "5",
            "13", "517",
        ] {
            assert!(!is_permanent(code), "{code}");
        }
    }
}
