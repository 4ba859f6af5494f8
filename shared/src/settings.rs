//! The settings that services share: from the environment first, flags equal, every value in `--help`.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;

use crate::{
    cli::Addresses,
    http::{
        AllowedOrigins, ConnectionSettings, Hsts, Listeners, PublicOrigins, Site, TrustedProxies,
    },
    lifecycle::{self, DrainSettings},
    links::LinkSettings,
    poll::{InvalidOptions, InvalidSchedule, Moment, Options, Poll, ResultsMode, Schedule},
    queue::{DurabilityCheck, InvalidQueueUrl, QueueConfig, QueueUrl},
    store::{InvalidStoreUrl, StoreConfig, StoreUrl},
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
    fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE_FILE)
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

    /// The source of whether the queue's server keeps accepted votes through a crash: checked asks the server; managed is for
    /// a service that keeps them and lets nobody ask, such as MemoryDB
    #[arg(long, env = "QUEUE_DURABILITY", value_enum, default_value_t)]
    pub queue_durability: DurabilityCheck,

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
        let url = match url {
            Some(url) => url.parse()?,
            None => QueueUrl::Sqlite(data.database()),
        };
        if let QueueUrl::Redis(servers) = &url
            && servers.len() > 1
            && self.queue_stream.contains(['{', '}'])
        {
            return Err(SettingsError::StreamOfShards);
        }
        Ok(QueueConfig {
            url,
            stream: self.queue_stream.clone(),
            durability: self.queue_durability,
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
    #[arg(long, env = "STORE_MAX_CONNECTIONS", default_value = "4", value_parser = whole_number(3_u32..=100))]
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
        let url = match url {
            Some(url) => url.parse()?,
            None => StoreUrl::Sqlite(data.database()),
        };
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

    /// The options: 2 to 20 of key=label, such as a=Cats,b=Dogs, where a key has 1 to 32 of a-z, 0-9 and hyphen; or
    /// labels alone, such as Cats,Dogs, whose keys are a, b, …; in a label a comma is written \, and an equals sign \=
    #[arg(long, env = "POLL_OPTIONS", default_value = "a=Cats,b=Dogs", value_parser = Options::from_str)]
    pub poll_options: Options,

    /// The label of option a, as in the original app
    #[arg(long, env = "OPTION_A")]
    pub option_a: Option<String>,

    /// The label of option b, as in the original app
    #[arg(long, env = "OPTION_B")]
    pub option_b: Option<String>,

    /// The time at which voting begins, such as 2027-03-01T09:00:00+01:00 or 2027-03-01T09:00[Europe/Berlin]; if not set, it always has
    #[arg(long, env = "POLL_OPENS_AT", value_parser = Moment::from_str)]
    pub poll_opens_at: Option<Moment>,

    /// When voting ends; if not set, never
    #[arg(long, env = "POLL_CLOSES_AT", value_parser = Moment::from_str)]
    pub poll_closes_at: Option<Moment>,

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
        options.check_labels().map_err(SettingsError::SameLabel)?;
        let question = self
            .poll_question
            .clone()
            .unwrap_or_else(|| default_question(&options));
        let schedule = self.schedule()?;
        Ok(Poll {
            question,
            options,
            schedule,
        })
    }

    fn schedule(&self) -> Result<Schedule, SettingsError> {
        let (opens_at, closes_at) = (&self.poll_opens_at, &self.poll_closes_at);
        let [opens, closes] = [opens_at, closes_at].map(|at| at.as_ref().map(Moment::timestamp));
        let schedule = Schedule::new(opens, closes, self.poll_results);
        schedule.map_err(|error| match (error, opens_at, closes_at) {
            // The times as they are set, not in UTC.
            (InvalidSchedule::ClosesBeforeItOpens { .. }, Some(opens_at), Some(closes_at)) => {
                SettingsError::ClosesBeforeItOpens {
                    opens_at: opens_at.clone(),
                    closes_at: closes_at.clone(),
                }
            }
            (error, ..) => error.into(),
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
    /// The address to listen on, such as 127.0.0.1:8080; if not set, all addresses, of IPv6 and IPv4, and the service's own
    /// port
    #[arg(long, env = "LISTEN_ADDR", value_parser = socket_address)]
    pub listen_addr: Option<SocketAddr>,

    /// The port to listen on, on all addresses, as in the original app
    #[arg(long, env = "PORT", conflicts_with = "listen_addr", value_parser = whole_number(0_u16..=u16::MAX))]
    pub port: Option<u16>,

    /// The address for operators and Prometheus, such as 127.0.0.1:8090: then it alone serves /metrics and says in /ready
    /// what is wrong; if not set, the other address does
    #[arg(long, env = "MANAGEMENT_LISTEN_ADDR", value_parser = socket_address)]
    pub management_listen_addr: Option<SocketAddr>,
}

impl ListenSettings {
    /// The addresses to listen on.
    #[must_use]
    pub fn addresses(&self, default_port: u16) -> Addresses {
        let everywhere = || {
            let port = self.port.unwrap_or(default_port);
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
        };
        Addresses {
            public: self.listen_addr.unwrap_or_else(everywhere),
            management: self.management_listen_addr,
        }
    }

    /// Listens, and says where.
    ///
    /// # Errors
    /// An address cannot be used; the message names its variable.
    pub async fn bind(&self, service: &str, default_port: u16) -> anyhow::Result<Listeners> {
        let variable = match self.port {
            Some(_) => "PORT",
            None => "LISTEN_ADDR",
        };
        let public = lifecycle::listen(self.addresses(default_port).public)
            .await
            .context(variable)?;
        tracing::info!(address = %public.local_addr()?, "{service} listens");
        let management =
            lifecycle::listen_for_management("MANAGEMENT_LISTEN_ADDR", self.management_listen_addr)
                .await?;
        Ok(Listeners { public, management })
    }
}

/// How browsers reach the pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct HttpsSettings {
    /// Whether browsers come over HTTPS, through a proxy that ends it: cookies are then sent over HTTPS only, and
    /// browsers told to come over nothing else
    #[arg(long, env = "PUBLIC_HTTPS", default_value_t = false, action = clap::ArgAction::Set)]
    pub public_https: bool,

    /// The value of Strict-Transport-Security where browsers come over HTTPS, such as "max-age=31536000;
    /// includeSubDomains", or off: it is not sent
    #[arg(long, env = "HSTS", default_value = "max-age=31536000", value_parser = Hsts::from_str)]
    pub hsts: Hsts,
}

/// The proxies between browsers and the pages, and the names under which those are reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network")]
pub struct ProxySettings {
    /// The origins at which browsers reach the pages, separated by commas, such as
    /// https://poll.example.org,http://10.0.0.5:8088. Votes from pages at these are accepted whatever a proxy makes of the
    /// header Host; requests for other hosts are refused, but for addresses, localhost and probes. If not set, any host
    #[expect(rustdoc::bare_urls, reason = "it is the text of --help")]
    #[arg(long, env = "PUBLIC_ORIGINS")]
    pub public_origins: Option<PublicOrigins>,

    /// The proxies whose X-Forwarded-For is believed, as addresses or networks such as 10.0.0.0/16,2001:db8::/56; if not
    /// set, none: the address is that of whoever connects
    #[arg(long, env = "TRUSTED_PROXIES")]
    pub trusted_proxies: Option<TrustedProxies>,
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
    /// The proxies in between, and the names.
    #[command(flatten)]
    pub proxies: ProxySettings,
    /// Where they find the pages.
    #[command(flatten)]
    pub links: LinkSettings,
    /// Who else may read the API.
    #[command(flatten)]
    pub cors: CorsSettings,
}

impl BrowserSettings {
    /// The outside of the installation.
    #[must_use]
    pub fn site(&self) -> Site {
        let Self { https, proxies, .. } = self;
        Site {
            hsts: https.public_https.then(|| https.hsts.clone()),
            public_origins: proxies.public_origins.clone().unwrap_or_default(),
            trusted_proxies: proxies.trusted_proxies.clone().unwrap_or_default(),
        }
    }
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

/// Reads a whole number within these bounds.
pub fn whole_number<T>(
    allowed: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |raw| {
        let number = raw.parse().ok().filter(|number| allowed.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            format!("write a whole number from {least} to {most}")
        })
    }
}

/// Reads an address to listen on.
///
/// # Errors
/// The address or the port is missing or cannot be read. The names of hosts are not looked up.
pub fn socket_address(raw: &str) -> Result<SocketAddr, String> {
    raw.parse().map_err(|_| {
        "write an IP address and a port from 0 to 65535, such as 127.0.0.1:8080 for this machine alone, 0.0.0.0:8080 for \
         all networks, or [::1]:8080"
            .into()
    })
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
    /// Nobody could ever vote.
    #[error("POLL_CLOSES_AT ({closes_at}) must be later than POLL_OPENS_AT ({opens_at})")]
    ClosesBeforeItOpens {
        /// As set.
        opens_at: Moment,
        /// As set.
        closes_at: Moment,
    },
    /// A label from the original's variables.
    #[error("{variable}")]
    Label {
        /// Which one.
        variable: &'static str,
        /// What is wrong with it.
        source: InvalidOptions,
    },
    /// Two labels, one of them from the original's variables.
    #[error("OPTION_A or OPTION_B")]
    SameLabel(#[source] InvalidOptions),
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
                .contains("write a date and a time")
        );
    }

    #[test]
    fn impossible_times_are_said_in_the_time_zones_in_which_they_are_set() {
        let closes_first = [
            "--poll-opens-at",
            "2026-12-01T18:00[Europe/Berlin]",
            "--poll-closes-at",
            "2026-12-01T18:00:00+02:00",
        ];
        assert_eq!(
            poll(&closes_first).unwrap_err(),
            "POLL_CLOSES_AT (2026-12-01T18:00:00+02:00) must be later than POLL_OPENS_AT \
             (2026-12-01T18:00:00+01:00[Europe/Berlin])"
        );
    }

    #[test]
    fn labels_may_be_swapped_but_not_equal() {
        let swapped = poll(&["--option-a", "Dogs", "--option-b", "Cats"]).unwrap();
        assert_eq!(swapped.options.to_string(), "a=Dogs,b=Cats");
        assert!(
            poll(&["--option-a", "Dogs"])
                .unwrap_err()
                .starts_with("OPTION_A or OPTION_B")
        );
    }

    #[test]
    fn numbers_outside_of_their_bounds_are_refused_with_the_bounds() {
        let number = whole_number(3_u32..=100);
        assert_eq!((number("3"), number("100")), (Ok(3), Ok(100)));
        for bad in ["", "2", "101", "-4", "4.5", "many", "99999999999"] {
            let allowed = "write a whole number from 3 to 100".to_owned();
            assert_eq!(number(bad), Err(allowed), "{bad}");
        }
    }

    #[test]
    fn addresses_to_listen_on_have_a_port() {
        assert!(socket_address("127.0.0.1:0").is_ok() && socket_address("[::]:8080").is_ok());
        for bad in [
            "8080",
            ":8080",
            "127.0.0.1",
            "localhost:8080",
            "127.0.0.1:80808",
        ] {
            assert!(
                socket_address(bad).unwrap_err().contains("127.0.0.1:8080"),
                "{bad}"
            );
        }
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
