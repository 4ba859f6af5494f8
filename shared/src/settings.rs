//! The settings that services share: from the environment first, flags equal, every value in `--help`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::{
    http::{AllowedOrigins, ConnectionSettings},
    lifecycle::DrainSettings,
    links::LinkSettings,
    poll::{InvalidOptions, InvalidSchedule, Options, Poll, ResultsMode, Schedule},
    queue::{InvalidQueueUrl, QueueConfig, QueueUrl},
    store::{InvalidStoreUrl, StoreConfig},
};

/// The file of the embedded database in the data folder.
const DATABASE_FILE: &str = "voting.db";

/// Where embedded storage keeps its files.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct DataSettings {
    /// The folder for embedded storage; made where it is missing
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    pub data_dir: PathBuf,
}

impl DataSettings {
    fn embedded_url(&self) -> String {
        format!("sqlite://{}", self.data_dir.join(DATABASE_FILE).display())
    }
}

/// Where the queue is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct QueueSettings {
    /// The queue: sqlite://FILE, redis://USER:PASSWORD@HOST:PORT/DB, or rediss://… for TLS; several of these, separated by
    /// commas, are shards, each with its share of the voters: their number and order must be the same for all services;
    /// if not set, the file voting.db in DATA_DIR
    #[arg(long, env = "QUEUE_URL", hide_env_values = true)]
    pub queue_url: Option<String>,

    /// A file that holds the QUEUE_URL, for secrets
    #[arg(long, env = "QUEUE_URL_FILE", conflicts_with = "queue_url")]
    pub queue_url_file: Option<PathBuf>,

    /// The key of the Redis stream; where there are shards, its beginning
    #[arg(long, env = "QUEUE_STREAM", default_value = "ballots", value_parser = stream_key)]
    pub queue_stream: String,

    /// How long a voter waits for the queue at most, before being told to try again
    #[arg(long, env = "ENQUEUE_TIMEOUT", default_value = "400ms", value_parser = duration)]
    pub enqueue_timeout: Duration,
}

impl QueueSettings {
    /// The queue these settings name.
    ///
    /// # Errors
    /// The URL names no queue, or its file cannot be read.
    pub fn config(&self, data: &DataSettings) -> Result<QueueConfig, SettingsError> {
        let url = secret(
            "QUEUE_URL",
            self.queue_url.as_deref(),
            self.queue_url_file.as_deref(),
        )?;
        let url = url.unwrap_or_else(|| data.embedded_url()).parse()?;
        if let QueueUrl::Redis(servers) = &url
            && servers.len() > 1
            && self.queue_stream.contains(['{', '}'])
        {
            return Err(SettingsError::StreamOfShards);
        }
        Ok(QueueConfig {
            url,
            stream: self.queue_stream.clone(),
            enqueue_timeout: self.enqueue_timeout,
        })
    }
}

/// Where the store is.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Storage")]
pub struct StoreSettings {
    /// The store: sqlite://FILE or postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…; if not set, the file
    /// voting.db in DATA_DIR
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// A file that holds the DATABASE_URL, for secrets
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// How long one transaction with the store may take
    #[arg(long, env = "STORE_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub store_timeout: Duration,

    /// How many connections to Postgres to hold at most
    #[arg(long, env = "STORE_MAX_CONNECTIONS", default_value = "4", value_parser = clap::value_parser!(u32).range(3..=100))]
    pub store_max_connections: u32,
}

impl StoreSettings {
    /// The store these settings name.
    ///
    /// # Errors
    /// The URL names no store, or its file cannot be read.
    pub fn config(&self, data: &DataSettings) -> Result<StoreConfig, SettingsError> {
        let url = secret(
            "DATABASE_URL",
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
        )?;
        let url = url.unwrap_or_else(|| data.embedded_url()).parse()?;
        Ok(StoreConfig {
            url,
            timeout: self.store_timeout,
            max_connections: self.store_max_connections,
        })
    }
}

/// What is voted on. The same for every service.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Poll")]
pub struct PollSettings {
    /// What the voters are asked; if not set, which of two options, such as Cats or Dogs?
    #[arg(long, env = "POLL_QUESTION", value_parser = question)]
    pub poll_question: Option<String>,

    /// What they may answer: 2 to 20 of key=label; a key has 1 to 32 of a-z, 0-9 and hyphen
    #[arg(long, env = "POLL_OPTIONS", default_value = "a=Cats,b=Dogs", value_parser = Options::from_str)]
    pub poll_options: Options,

    /// The label of option a, as in the original app
    #[arg(long, env = "OPTION_A")]
    pub option_a: Option<String>,

    /// The label of option b, as in the original app
    #[arg(long, env = "OPTION_B")]
    pub option_b: Option<String>,

    /// When voting begins, such as 2027-03-01T09:00:00+01:00; if not set, it always has
    #[arg(long, env = "POLL_OPENS_AT", value_parser = timestamp)]
    pub poll_opens_at: Option<Timestamp>,

    /// When voting ends; if not set, never
    #[arg(long, env = "POLL_CLOSES_AT", value_parser = timestamp)]
    pub poll_closes_at: Option<Timestamp>,

    /// When the result may be seen
    #[arg(long, env = "POLL_RESULTS", value_enum, default_value_t)]
    pub poll_results: ResultsMode,
}

impl PollSettings {
    /// The poll these settings describe.
    ///
    /// # Errors
    /// No such poll can be held.
    pub fn poll(&self) -> Result<Poll, SettingsError> {
        let mut options = self.poll_options.clone();
        for (variable, key, label) in [
            ("OPTION_A", "a", &self.option_a),
            ("OPTION_B", "b", &self.option_b),
        ] {
            if let Some(label) = label
                && !options
                    .relabel(key, label)
                    .map_err(|source| SettingsError::Label { variable, source })?
            {
                return Err(SettingsError::NoSuchOption { variable, key });
            }
        }
        let question = self
            .poll_question
            .clone()
            .unwrap_or_else(|| default_question(&options));
        let schedule = Schedule::new(self.poll_opens_at, self.poll_closes_at, self.poll_results)?;
        Ok(Poll {
            question,
            options,
            schedule,
        })
    }
}

/// "Cats or Dogs?", in the manner of the original's title.
fn default_question(options: &Options) -> String {
    let labels: Vec<_> = options.iter().map(|option| option.label.as_str()).collect();
    match &labels[..] {
        [first, second] => format!("{first} or {second}?"),
        _ => "What do you choose?".to_owned(),
    }
}

/// Where a service that runs alone listens.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ListenSettings {
    /// The address to listen on, such as 0.0.0.0:8080; if not set, all addresses and the service's own port
    #[arg(long, env = "LISTEN_ADDR")]
    pub listen_addr: Option<SocketAddr>,

    /// The port to listen on, on all addresses, as in the original app
    #[arg(long, env = "PORT", conflicts_with = "listen_addr")]
    pub port: Option<u16>,
}

impl ListenSettings {
    /// The address to listen on.
    #[must_use]
    pub fn address(&self, default_port: u16) -> SocketAddr {
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.listen_addr
            .unwrap_or_else(|| SocketAddr::new(everywhere, self.port.unwrap_or(default_port)))
    }
}

/// How browsers reach the pages.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Network")]
pub struct HttpsSettings {
    /// Whether browsers come over HTTPS, through a proxy that ends it: cookies are then sent over HTTPS only, and
    /// browsers told to come over nothing else
    #[arg(long, env = "BEHIND_HTTPS", default_value_t = false, action = clap::ArgAction::Set)]
    pub behind_https: bool,
}

/// Who may read the API besides our own pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct CorsSettings {
    /// The origins of other sites whose scripts may read the API, separated by commas, or * for all; if not set, none.
    /// They can never vote
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_parser = AllowedOrigins::from_str)]
    pub cors_allowed_origins: Option<AllowedOrigins>,
}

/// How browsers find and reach the pages.
#[derive(Args, Clone, Debug)]
pub struct BrowserSettings {
    /// Whether they come over HTTPS.
    #[command(flatten)]
    pub https: HttpsSettings,
    /// Where they find the pages.
    #[command(flatten)]
    pub links: LinkSettings,
    /// Who else may read the API.
    #[command(flatten)]
    pub cors: CorsSettings,
}

/// How every service serves and ends.
#[derive(Args, Clone, Copy, Debug)]
pub struct ServerSettings {
    /// How many connections it holds.
    #[command(flatten)]
    pub connections: ConnectionSettings,
    /// How to end.
    #[command(flatten)]
    pub drain: DrainSettings,
}

/// A value from its own variable or from the file that another variable names.
///
/// # Errors
/// The file cannot be read or is empty.
pub fn secret(
    variable: &'static str,
    value: Option<&str>,
    file: Option<&Path>,
) -> Result<Option<String>, SettingsError> {
    let Some(path) = file else {
        return Ok(value.map(str::to_owned));
    };
    let unreadable = |why: String| SettingsError::SecretFile {
        variable,
        path: path.to_owned(),
        why,
    };
    let content = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    match content.trim() {
        "" => Err(unreadable("it is empty".into())),
        secret => Ok(Some(secret.to_owned())),
    }
}

/// A length of time, such as `400ms`, `5s` or `1m 30s`.
///
/// # Errors
/// The text is none, or negative.
pub fn duration(raw: &str) -> Result<Duration, String> {
    let parsed = raw
        .parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| "write a length of time, such as 400ms, 5s or 2m".into())
}

fn timestamp(raw: &str) -> Result<Timestamp, String> {
    raw.parse()
        .map_err(|_| "write a date and time with its offset, such as 2027-03-01T09:00:00Z".into())
}

fn question(raw: &str) -> Result<String, String> {
    const MOST: usize = 300;
    let question = raw.trim();
    if question.is_empty()
        || question.chars().count() > MOST
        || question.chars().any(char::is_control)
    {
        return Err(format!(
            "a question has 1 to {MOST} characters and no control characters"
        ));
    }
    Ok(question.to_owned())
}

fn stream_key(raw: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:{}".contains(&byte);
    match raw {
        // The original app keeps a list under this key; a stream cannot live there.
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

/// The settings cannot be used together, or with what is on this machine. The sources say why.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The queue's URL.
    #[error("QUEUE_URL")]
    QueueUrl(#[from] InvalidQueueUrl),
    /// The stream's key.
    #[error(
        "QUEUE_STREAM must have no braces where QUEUE_URL names several servers: each shard's key gets its own"
    )]
    StreamOfShards,
    /// The store's URL.
    #[error("DATABASE_URL")]
    StoreUrl(#[from] InvalidStoreUrl),
    /// The poll's times.
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    /// A label from the original's variables.
    #[error("{variable}")]
    Label {
        /// Which one.
        variable: &'static str,
        /// What is wrong with it.
        source: InvalidOptions,
    },
    /// A label for an option that is not there.
    #[error(
        "{variable} names the option {key:?}, which POLL_OPTIONS does not have; leave {variable} out"
    )]
    NoSuchOption {
        /// Which one.
        variable: &'static str,
        /// The option it would name.
        key: &'static str,
    },
    /// A secret's file.
    #[error("{variable}_FILE: {} cannot be used: {why}", path.display())]
    SecretFile {
        /// The variable it stands for.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        poll: PollSettings,
    }

    fn poll(flags: &[&str]) -> Result<Poll, String> {
        let cli =
            Cli::try_parse_from([&["test"], flags].concat()).map_err(|error| error.to_string())?;
        cli.poll.poll().map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_means_cats_or_dogs() {
        let poll = poll(&[]).unwrap();
        assert_eq!(
            (poll.question.as_str(), poll.options.to_string().as_str()),
            ("Cats or Dogs?", "a=Cats,b=Dogs")
        );
    }

    #[test]
    fn the_originals_variables_name_the_options() {
        let poll = poll(&["--option-a", "Tea", "--option-b", "Coffee"]).unwrap();
        assert_eq!(
            (poll.question.as_str(), poll.options.to_string().as_str()),
            ("Tea or Coffee?", "a=Tea,b=Coffee")
        );
    }

    #[test]
    fn a_label_for_a_missing_option_is_refused() {
        let message = poll(&["--poll-options", "x=X,y=Y", "--option-a", "Tea"]).unwrap_err();
        assert!(
            message.starts_with("OPTION_A names the option \"a\""),
            "{message}"
        );
    }

    #[test]
    fn impossible_times_are_refused() {
        let closes_first = [
            "--poll-opens-at",
            "2027-01-02T00:00:00Z",
            "--poll-closes-at",
            "2027-01-01T00:00:00+01:00",
        ];
        assert!(
            poll(&closes_first)
                .unwrap_err()
                .contains("must be later than POLL_OPENS_AT")
        );
        assert!(
            poll(&["--poll-results", "after-close"])
                .unwrap_err()
                .contains("needs POLL_CLOSES_AT")
        );
        assert!(
            poll(&["--poll-opens-at", "tomorrow"])
                .unwrap_err()
                .contains("write a date and time")
        );
    }

    #[test]
    fn lengths_of_time_are_read() {
        assert_eq!(duration("400ms"), Ok(Duration::from_millis(400)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "5", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "redis://host\n").unwrap();
        assert_eq!(
            secret("X", None, Some(&file)).unwrap().as_deref(),
            Some("redis://host")
        );
        std::fs::write(&file, "\n").unwrap();
        assert!(
            secret("X", None, Some(&file))
                .unwrap_err()
                .to_string()
                .starts_with("X_FILE: ")
        );
        assert!(secret("X", None, Some(Path::new("/no/such/file"))).is_err());
    }

    #[test]
    fn the_originals_list_is_not_overwritten() {
        assert!(stream_key("votes").is_err());
        assert!(stream_key("ballots:{1}").is_ok());
    }
}
