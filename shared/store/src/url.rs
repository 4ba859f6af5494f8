//! URLs of the store.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use cli::secret_url;
use embedded::SqlitePath;

/// Server or file of the store.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `sqlite://FILE`: an embedded file, for any number of processes on one machine.
    Sqlite(PathBuf),
    /// `postgres://…`: for any number of machines.
    Postgres(Box<PgConnectOptions>),
}

impl StoreUrl {
    /// Returns true if the store is a file on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// Formats the location without secrets.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => embedded::absolute(path).display().fmt(f),
            Self::Postgres(options) => {
                write!(f, "Postgres at ")?;
                match options.get_socket() {
                    Some(folder) => write!(f, "the socket in {}", folder.display())?,
                    None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
                }
                // Without a name the database has the name of the user.
                options
                    .get_database()
                    .map_or(Ok(()), |name| write!(f, ", database {name}"))
            }
        }
    }
}

/// Allowed parameters of a Postgres URL, apart from those that name files.
const PARAMETERS: [&str; 10] = [
    "sslmode",
    "ssl-mode",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
];
/// Allowed parameters of a Postgres URL that name files.
const FILES: [&str; 7] = [
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    /// Parses the URL. It may contain secrets, so no error repeats it.
    fn from_str(url: &str) -> Result<Self, InvalidStoreUrl> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => url
                .parse()
                .map(|SqlitePath(path)| Self::Sqlite(path))
                .map_err(|reason| InvalidStoreUrl(reason.into())),
            Some("postgres" | "postgresql") => {
                postgres(url).map(|options| Self::Postgres(Box::new(options)))
            }
            _ => Err(InvalidStoreUrl(
                "write sqlite://FILE or postgres://HOST/DATABASE".into(),
            )),
        }
    }
}

fn postgres(url: &str) -> Result<PgConnectOptions, InvalidStoreUrl> {
    let invalid = InvalidStoreUrl;
    let not_a_url = || {
        let hint = secret_url::HINT;
        invalid(format!(
            "not a Postgres URL; write postgres://[USER:PASSWORD@]HOST[:PORT]/DATABASE[?sslmode=…]; {hint}"
        ))
    };
    let parts = Url::parse(url).map_err(|_| not_a_url())?;
    let is_known = |key: &str| {
        PARAMETERS.contains(&key)
            || FILES.contains(&key)
            || key == "options"
            || key.starts_with("options[")
    };
    secret_url::check(&parts, is_known).map_err(invalid)?;
    let mut has_authority = false;
    for (key, file) in parts
        .query_pairs()
        .filter(|(key, _)| FILES.contains(&&**key))
    {
        if let Err(error) = std::fs::File::open(&*file) {
            return Err(invalid(format!(
                "the file of {key} cannot be read: {error}"
            )));
        }
        has_authority |= ["sslrootcert", "ssl-root-cert", "ssl-ca"].contains(&&*key);
    }
    let options: PgConnectOptions = url.parse().map_err(|_| not_a_url())?;
    // The same rule as in libpq. Source: <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS>.
    let options = match options.get_ssl_mode() {
        PgSslMode::Require if has_authority => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    };
    // Floating-point numbers are not used, and poolers reject unknown parameters.
    Ok(options.extra_float_digits(None))
}

/// Describes what TLS does not verify; `None` if the connection is encrypted and the server's certificate is verified.
#[must_use]
pub(super) fn unverified_tls(options: &PgConnectOptions) -> Option<&'static str> {
    match options.get_ssl_mode() {
        PgSslMode::VerifyCa | PgSslMode::VerifyFull => None,
        PgSslMode::Require => Some(
            "encrypted, but the server's certificate is not checked (sslmode=verify-full checks it)",
        ),
        PgSslMode::Disable => Some("not encrypted (sslmode=disable)"),
        PgSslMode::Allow | PgSslMode::Prefer => Some(
            "encrypted only if the server offers it, and its certificate is not checked (sslmode=verify-full demands both)",
        ),
    }
}

/// Error of a URL that names no store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStoreUrl(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn error(url: &str) -> String {
        url.parse::<StoreUrl>().unwrap_err().to_string()
    }

    /// Asserts an error with this word and without the secrets of these tests.
    fn assert_rejected(url: &str, word: &str) {
        let message = error(url);
        assert!(message.contains(word), "{url}: {message}");
        for secret in ["secret", "S3cret"] {
            assert!(!message.contains(secret), "{message}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_with_the_allowed_forms_and_without_its_secrets() {
        for url in [
            "",
            "localhost:5432",
            "mysql://u:secret@host/db",
            "postgres://u:secret@host:port/db",
        ] {
            assert_rejected(url, "postgres://");
        }
    }

    #[test]
    fn an_unescaped_character_of_a_password_is_detected() {
        for url in [
            "postgres://u:12?S3cret@host/db",
            "postgres://u:1?sslmode=S3cret@host/db",
            "postgres://u:12/S3cret@host/db",
            "postgres://u:12#S3cret@host/db",
            "postgres://u:ab?S3cret@host/db",
            "postgres://u:ab/S3cret@host/db",
            "postgres://u:ab#S3cret@host/db",
        ] {
            assert_rejected(url, "%3F");
        }
    }

    #[test]
    fn an_unknown_parameter_is_rejected() {
        assert_rejected("postgres://host/db?ssl_mode=S3cret", "parameter");
    }

    #[test]
    fn a_certificate_file_must_exist_and_makes_require_verify() {
        let message = error("postgres://host/db?sslmode=require&sslrootcert=/nowhere.pem");
        assert!(message.contains("sslrootcert"), "{message}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let mode = |parameters: &str| {
            let url = format!("postgres://host/db?{parameters}").parse::<StoreUrl>();
            match url.unwrap() {
                StoreUrl::Postgres(options) => options.get_ssl_mode(),
                StoreUrl::Sqlite(_) => unreachable!(),
            }
        };
        let authority = format!("sslmode=require&sslrootcert={}", file.path().display());
        assert!(matches!(mode(&authority), PgSslMode::VerifyCa));
        assert!(matches!(mode("sslmode=require"), PgSslMode::Require));
    }

    #[test]
    fn the_location_has_host_port_and_database() {
        let location = |url: &str| url.parse::<StoreUrl>().unwrap().to_string();
        assert_eq!(
            location("postgres://u:secret@db:7/votes?sslmode=disable"),
            "Postgres at db:7, database votes"
        );
    }
}
