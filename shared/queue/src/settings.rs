//! Settings of the queue.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cli::{InvalidSecret, duration, secret};
use embedded::DataSettings;

use crate::{DurabilityCheck, InvalidQueueUrl, QueueConfig, QueueUrl};

/// Settings of the queue.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct QueueSettings {
    /// URL of the queue: sqlite://FILE, redis://USER:PASSWORD@HOST:PORT/DB, or rediss://… for TLS; several Redis URLs, separated
    /// by commas, are shards, each with its part of the voters: their number and order must be the same for all services;
    /// by default the file voting.db in DATA_DIR
    #[arg(long, env = "QUEUE_URL", hide_env_values = true)]
    pub queue_url: Option<String>,

    /// File that contains the QUEUE_URL, for secrets
    #[arg(long, env = "QUEUE_URL_FILE", conflicts_with = "queue_url")]
    pub queue_url_file: Option<PathBuf>,

    /// Key of the Redis stream; with shards the prefix of their keys
    #[arg(long, env = "QUEUE_STREAM", default_value = "ballots", value_parser = stream_key)]
    pub queue_stream: String,

    /// Source of the queue's durability: checked reads the server's settings; managed is for a service that stores accepted votes
    /// durably and whose settings cannot be read, such as MemoryDB
    #[arg(long, env = "QUEUE_DURABILITY", value_enum, default_value_t)]
    pub queue_durability: DurabilityCheck,

    /// Timeout of one enqueue; after it the voter is asked to vote again
    #[arg(long, env = "ENQUEUE_TIMEOUT", default_value = "400ms", value_parser = duration)]
    pub enqueue_timeout: Duration,
}

impl QueueSettings {
    /// Returns the configuration of the queue.
    ///
    /// # Errors
    /// The URL is invalid, or its file cannot be read.
    pub fn config(&self, data: &DataSettings) -> Result<QueueConfig, InvalidQueueSettings> {
        let url = secret(
            "QUEUE_URL",
            self.queue_url.as_deref(),
            self.queue_url_file.as_deref(),
        )?;
        let url = match url {
            Some(url) => url.parse()?,
            None => QueueUrl::Sqlite(data.database()),
        };
        if let QueueUrl::Redis(servers) = &url
            && servers.len() > 1
            && self.queue_stream.contains(['{', '}'])
        {
            return Err(InvalidQueueSettings::StreamOfShards);
        }
        Ok(QueueConfig {
            url,
            stream: self.queue_stream.clone(),
            durability: self.queue_durability,
            enqueue_timeout: self.enqueue_timeout,
        })
    }
}

fn stream_key(raw: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:{}".contains(&byte);
    match raw {
        // The original app has a list under this key.
        "votes" => Err(
            "votes is the key of the original app's list; choose another one, such as ballots"
                .into(),
        ),
        _ if raw.is_empty() || raw.len() > 128 || !raw.bytes().all(allowed) => {
            Err("a stream's key has 1 to 128 of A-Z, a-z, 0-9 and -_.:{}".into())
        }
        _ => Ok(raw.to_owned()),
    }
}

/// Error of invalid settings.
#[derive(Debug, thiserror::Error)]
pub enum InvalidQueueSettings {
    /// The URL is invalid.
    #[error("QUEUE_URL")]
    Url(#[from] InvalidQueueUrl),
    /// The stream's key has braces although there are shards.
    #[error(
        "QUEUE_STREAM must have no braces if QUEUE_URL names several servers: each shard's key gets its own"
    )]
    StreamOfShards,
    /// The file that contains the URL cannot be read.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_original_apps_list_is_rejected() {
        assert!(stream_key("votes").is_err());
        assert!(stream_key("ballots:{1}").is_ok());
    }
}
