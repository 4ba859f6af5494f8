//! What goes wrong in a store, and whether trying again can help.

use std::{fmt, io, sync::Arc, time::Duration};

use sqlx::{error::DatabaseError, migrate::MigrateError};

/// The store did not do what it was asked.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// Whether trying again can help.
    pub class: ErrorClass,
    /// Which store it is.
    location: Option<Arc<str>>,
    message: String,
    is_schema_error: bool,
}

impl std::error::Error for StoreError {}

/// The store, the variable that names it, and what it said.
impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = self.location.as_deref().unwrap_or("the store");
        write!(f, "{location}: {}", self.message)
    }
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// It can: the store is away, busy, or not set up yet.
    Transient,
    /// It can; the store did not answer in time.
    Timeout,
    /// It cannot: the data itself is refused.
    Permanent,
}

impl ErrorClass {
    pub(super) const ALL: [Self; 3] = [Self::Transient, Self::Timeout, Self::Permanent];

    /// The label of the metric, and the type of the error in traces.
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
        Self::new(ErrorClass::Timeout, format!("no answer within {limit:?}"))
    }

    pub(super) fn connect_timeout(limit: Duration) -> Self {
        let message = format!(
            "no connection within {limit:?}: the server is too busy or cannot be reached, or what listens there is no Postgres"
        );
        Self::new(ErrorClass::Timeout, message)
    }

    pub(super) fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, message)
    }

    pub(super) fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, message)
    }

    /// The same, at this location.
    pub(super) fn with_location(self, location: &Arc<str>) -> Self {
        Self {
            location: Some(location.clone()),
            ..self
        }
    }

    /// The same, for what may be mended at the server.
    #[must_use]
    pub fn into_retryable(self) -> Self {
        let class = match self.class {
            ErrorClass::Permanent => ErrorClass::Transient,
            other => other,
        };
        Self { class, ..self }
    }

    /// The same, with more in front of the message.
    #[must_use]
    pub fn with_context(self, what: &str) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }

    /// Returns true if tables, columns or functions are missing, or are others than they should be.
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
            other => Self::permanent(format!("its tables cannot be brought up to date: {other}")),
        }
    }
}

/// Describes an error, with advice for operators where the server's own words have none.
fn message(error: &sqlx::Error) -> String {
    use sqlx::Error::{Configuration, Database, Io, PoolTimedOut, Protocol, Tls};
    match error {
        Database(refusal) => {
            let said = refusal.message();
            format!("{said}{}", refusal.code().as_deref().map_or("", advice))
        }
        Io(error) => of_io(error),
        Tls(error) => of_tls(&error.to_string()),
        Protocol(said) => format!(
            "what answers does not speak Postgres' protocol ({said}); the port must be that of Postgres"
        ),
        PoolTimedOut => "all connections were in use for too long; there are as many as \
                         STORE_MAX_CONNECTIONS says"
            .into(),
        Configuration(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn of_io(error: &io::Error) -> String {
    let said = error.to_string();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".into(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            format!("the connection was closed ({said})")
        }
        // The standard library has no kind for it.
        _ if said.contains("lookup address") => format!("there is no host of that name ({said})"),
        _ if said.contains("certificate") => of_tls(&said),
        _ => said,
    }
}

fn of_tls(said: &str) -> String {
    if said.contains("certificate") {
        format!(
            "its TLS certificate is not trusted ({said}); sslrootcert=FILE in DATABASE_URL must name the authority \
             that signed it, and the host must be one that it names"
        )
    } else {
        format!("{said}; sslmode in DATABASE_URL must fit what the server speaks")
    }
}

/// What an operator can do about it, where the server's own words do not say.
fn advice(code: &str) -> &'static str {
    match code {
        "28P01" => "; DATABASE_URL must name a user and password that this server knows",
        "28000" => {
            "; DATABASE_URL must name a user and password, and an sslmode, that this server lets in"
        }
        "3D000" => "; DATABASE_URL must name a database that is there",
        "42501" => "; the user in DATABASE_URL has not all the rights that this service needs",
        "25006" => "; the server takes no writes, and DATABASE_URL must name one that does",
        "53300" => {
            "; raise max_connections at the server, or lower STORE_MAX_CONNECTIONS or the number of services"
        }
        _ => "",
    }
}

/// The data is refused: Postgres' classes 22 (data exception) and 23 (integrity constraint violation), and SQLite's
/// constraint (19) and datatype mismatch (20) with their extended codes. All else may pass: the server may come back,
/// get room, be repaired. Sources: <https://www.postgresql.org/docs/current/errcodes-appendix.html>,
/// <https://www.sqlite.org/rescode.html>.
fn is_permanent(code: &str) -> bool {
    if code.len() == 5 {
        return code.starts_with("22") || code.starts_with("23");
    }
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 19 | 20))
}

/// Undefined table, column, function and schema, and a table without the constraint that ON CONFLICT names.
fn is_missing_table(code: &str) -> bool {
    matches!(code, "42P01" | "42703" | "42883" | "3F000" | "42P10")
}

/// SQLite has one code for all errors of a statement.
fn is_no_such(message: &str) -> bool {
    message.starts_with("no such ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refused_data_is_given_up() {
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
