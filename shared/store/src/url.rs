//! Where the store is.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use cli::secret_url;
use embedded::SqlitePath;

/// Where the store is.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// `sqlite://FILE`: embedded, for any number of processes on one machine.
    Sqlite(PathBuf),
    /// `postgres://…`: for any number of machines.
    Postgres(Box<PgConnectOptions>),
}

impl StoreUrl {
    /// Whether it is a file on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// Where it is, without secrets.
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
                // The database has the name of the user where none is given.
                options
                    .get_database()
                    .map_or(Ok(()), |name| write!(f, ", database {name}"))
            }
        }
    }
}

/// The parameters of a Postgres URL, beside those that name files.
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

    /// Secrets may be inside, so no error repeats the URL.
    fn from_str(url: &str) -> Result<Self, InvalidStoreUrl> {
        match url.split_once("://").map(|(scheme, _)| scheme) {
            Some("sqlite") => url
                .parse()
                .map(|SqlitePath(path)| Self::Sqlite(path))
                .map_err(|why| InvalidStoreUrl(why.into())),
            Some("postgres" | "postgresql") => {
                postgres(url).map(|options| Self::Postgres(Box::new(options)))
            }
            _ => Err(InvalidStoreUrl(
                "allowed are sqlite://FILE and postgres://HOST/DATABASE".into(),
            )),
        }
    }
}

fn postgres(url: &str) -> Result<PgConnectOptions, InvalidStoreUrl> {
    let invalid = |why: String| InvalidStoreUrl(why);
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
    // As libpq does. Source: <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-SSLMODE-STATEMENTS>.
    let options = match options.get_ssl_mode() {
        PgSslMode::Require if has_authority => options.ssl_mode(PgSslMode::VerifyCa),
        _ => options,
    };
    // No floating-point number is read, and poolers refuse parameters that they do not know.
    Ok(options.extra_float_digits(None))
}

/// Describes what is not checked of the connection; `None`: encryption and server are checked.
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

/// The URL names no store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStoreUrl(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        url.parse::<StoreUrl>().unwrap_err().to_string()
    }

    /// Refused with this word, and without the secrets of these tests.
    fn assert_refused(url: &str, word: &str) {
        let message = refusal(url);
        assert!(message.contains(word), "{url}: {message}");
        for secret in ["secret", "S3cret"] {
            assert!(!message.contains(secret), "{message}");
        }
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_is_allowed_and_without_its_secrets() {
        for url in [
            "",
            "localhost:5432",
            "mysql://u:secret@host/db",
            "postgres://u:secret@host:port/db",
        ] {
            assert_refused(url, "postgres://");
        }
    }

    #[test]
    fn an_unescaped_character_of_a_password_is_recognised() {
        for url in [
            "postgres://u:12?S3cret@host/db",
            "postgres://u:1?sslmode=S3cret@host/db",
            "postgres://u:12/S3cret@host/db",
            "postgres://u:12#S3cret@host/db",
            "postgres://u:ab?S3cret@host/db",
            "postgres://u:ab/S3cret@host/db",
            "postgres://u:ab#S3cret@host/db",
        ] {
            assert_refused(url, "%3F");
        }
    }

    #[test]
    fn a_parameter_that_is_unknown_is_refused() {
        assert_refused("postgres://host/db?ssl_mode=S3cret", "parameter");
    }

    #[test]
    fn a_file_of_certificates_must_be_there_and_makes_require_verify() {
        let message = refusal("postgres://host/db?sslmode=require&sslrootcert=/nowhere.pem");
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
    fn the_place_names_host_port_and_database() {
        let location = |url: &str| url.parse::<StoreUrl>().unwrap().to_string();
        assert_eq!(
            location("postgres://u:secret@db:7/votes?sslmode=disable"),
            "Postgres at db:7, database votes"
        );
    }
}
