//! What goes wrong in a store, and whether trying again can help.

use std::time::Duration;

use sqlx::{error::DatabaseError, migrate::MigrateError};

/// The store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store failed: {message}")]
pub struct StoreError {
    /// Whether trying again can help.
    pub class: ErrorClass,
    message: String,
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

    /// The label of the metric.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Timeout => "timeout",
            Self::Permanent => "permanent",
        }
    }
}

impl StoreError {
    pub(super) fn timeout(limit: Duration) -> Self {
        Self {
            class: ErrorClass::Timeout,
            message: format!("it did not answer within {limit:?}"),
        }
    }

    pub(super) fn busy(message: &str) -> Self {
        Self {
            class: ErrorClass::Transient,
            message: message.to_owned(),
        }
    }

    pub(super) fn read_only() -> Self {
        Self {
            class: ErrorClass::Transient,
            message: format!("it takes no writes{}", advice("25006")),
        }
    }

    pub(super) fn permanent(message: String) -> Self {
        Self {
            class: ErrorClass::Permanent,
            message,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        let class = match &error {
            _ if code.as_deref().is_some_and(is_permanent) => ErrorClass::Permanent,
            sqlx::Error::PoolTimedOut => ErrorClass::Timeout,
            _ => ErrorClass::Transient,
        };
        let advice = match &error {
            sqlx::Error::Tls(_) => "; sslmode in DATABASE_URL must fit what the server speaks",
            _ => code.as_deref().map_or("", advice),
        };
        Self {
            class,
            message: format!("{error}{advice}"),
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

/// What an operator can do about it, where the server's own words do not say.
fn advice(code: &str) -> &'static str {
    match code {
        "28P01" => "; DATABASE_URL must name a user and password that this server knows",
        "28000" => {
            "; DATABASE_URL must name a user and password, and an sslmode, that this server lets in"
        }
        "3D000" => "; DATABASE_URL must name a database that is there",
        "42501" => "; the user in DATABASE_URL has not all the rights that this service needs",
        "25006" => "; DATABASE_URL must name a server that takes writes",
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
