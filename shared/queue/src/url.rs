//! URLs of the queue.

use std::{fmt, path::PathBuf, str::FromStr};

use cli::secret_url;
use embedded::SqlitePath;
use redis::{ConnectionInfo, IntoConnectionInfo};
use url::Url;

/// Servers or file of the queue.
#[derive(Clone, Debug)]
pub enum QueueUrl {
    /// `sqlite://FILE`: an embedded file, for any number of processes on one machine.
    Sqlite(PathBuf),
    /// `redis://…` or `rediss://…`, several separated by commas: one shard for each, for any number of machines.
    Redis(Vec<ConnectionInfo>),
}

impl QueueUrl {
    /// Returns true if the queue is a file on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// Formats the location without secrets.
impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => embedded::absolute(path).display().fmt(f),
            Self::Redis(servers) => {
                f.write_str("Redis at ")?;
                for (index, server) in servers.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", server.addr())?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for QueueUrl {
    type Err = InvalidQueueUrl;

    /// Parses the URL. It may contain secrets, so no error repeats it.
    fn from_str(url: &str) -> Result<Self, InvalidQueueUrl> {
        if url.starts_with("sqlite://") {
            return url
                .parse()
                .map(|SqlitePath(path)| Self::Sqlite(path))
                .map_err(|reason| InvalidQueueUrl(reason.into()));
        }
        let urls: Vec<_> = url.split(',').map(str::trim).collect();
        if urls.len() > MAX_SHARDS {
            return Err(InvalidQueueUrl(format!(
                "{} URLs; the maximum is {MAX_SHARDS}",
                urls.len()
            )));
        }
        let servers = urls.iter().enumerate().map(|(index, url)| {
            parse_server(url).map_err(|reason| {
                // The URL cannot be shown, so the message has its number.
                InvalidQueueUrl(match urls.len() {
                    1 => reason,
                    count => format!(
                        "URL {} of {count}: {reason}; write a comma within a URL as %2C",
                        index + 1
                    ),
                })
            })
        });
        servers.collect::<Result<_, _>>().map(Self::Redis)
    }
}

/// Maximum number of shards. Each costs every worker connections of its own.
const MAX_SHARDS: usize = 64;

fn parse_server(url: &str) -> Result<ConnectionInfo, String> {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some(scheme @ ("redis" | "rediss")) => {
            let parts = Url::parse(url).map_err(|error| {
                let hint = secret_url::HINT;
                format!("not a Redis URL ({error}); write redis://[USER:PASSWORD@]HOST[:PORT][/DB]; {hint}")
            })?;
            secret_url::check(&parts, |parameter| parameter == "protocol")?;
            if scheme == "rediss" {
                check_certificate_file()?;
            }
            url.into_connection_info().map_err(|error| {
                format!(
                    "not a Redis URL ({error}); write redis://[USER:PASSWORD@]HOST[:PORT][/DB]"
                )
            })
        }
        _ => Err(
            "write sqlite://FILE, or one or more of redis://HOST and rediss://HOST separated by commas"
                .into(),
        ),
    }
}

/// Checks that the file of certificate authorities can be read. Otherwise a connection error would point to the server.
fn check_certificate_file() -> Result<(), String> {
    let Some(file) = std::env::var_os("SSL_CERT_FILE") else {
        return Ok(());
    };
    std::fs::File::open(&file).map(drop).map_err(|error| {
        let file = PathBuf::from(&file);
        format!(
            "SSL_CERT_FILE: the file {} cannot be read: {error}",
            file.display()
        )
    })
}

/// Error of a URL that names no queue.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidQueueUrl(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_rejected_with_the_allowed_forms_and_without_its_secrets() {
        for url in [
            "",
            "localhost:6379",
            "amqp://u:secret@host",
            "redis://u:secret@host:port",
            "redis://u:secret@a,",
            "redis://u:secret@a,sqlite://secret",
            "redis://u:secret@a,amqp://u:secret@b",
            "redis://u:pass,secret@a",
        ] {
            let message = url.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(message.contains("redis://"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_unescaped_character_of_a_password_is_detected() {
        for url in [
            "redis://u:12?secret@a",
            "redis://u:12/secret@a",
            "redis://u:12#secret@a",
            "redis://u:ab?secret@a",
        ] {
            let message = url.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(message.contains("%3F"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn several_urls_are_shown_without_their_secrets() {
        let url = "redis://u:secret@a, rediss://u:secret@b:7000,redis://c";
        let url = url.parse::<QueueUrl>().unwrap();
        assert_eq!(url.to_string(), "Redis at a:6379, b:7000, c:6379");
        assert!(!url.is_embedded());
    }

    #[test]
    fn an_error_in_one_of_several_urls_has_its_number() {
        let message = |url: &str| url.parse::<QueueUrl>().unwrap_err().to_string();
        assert!(message("redis://a,b").starts_with("URL 2 of 2: "));
        let many = vec!["redis://a"; 65].join(",");
        assert_eq!(message(&many), "65 URLs; the maximum is 64");
    }
}
