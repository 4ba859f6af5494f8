//! What to do, and where.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cli::{duration, secret, whole_number};
use store::StoreConfig;

use crate::{LoadConfig, http::Target, pace::Plan};

/// How long votes are sent where nothing else is said.
const DURATION: Duration = Duration::from_secs(10);
/// How long one transaction with the store may take.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);
/// As few as a store takes: the services want theirs.
const STORE_CONNECTIONS: u32 = 3;

/// The settings, as on the command line.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The voting page; several, separated by commas, are replicas of one
    #[arg(
        long,
        env = "VOTE_URL",
        value_delimiter = ',',
        default_value = "http://localhost:8080"
    )]
    vote_url: Vec<Target>,

    /// The result page
    #[arg(long, env = "RESULT_URL", default_value = "http://localhost:8081")]
    result_url: Target,

    /// The store, to check every single vote in it: postgres://… or sqlite://FILE; if not set, only the sums that the
    /// result page shows are checked
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// A file that holds the DATABASE_URL, for secrets
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,

    /// How many voters there are; each votes again and again, and changes its mind
    #[arg(long, default_value_t = 1000, value_parser = whole_number(1..=u32::MAX))]
    voters: u32,

    /// How many of them vote at the same time, each on a connection of its own to every VOTE_URL
    #[arg(long, default_value_t = 64, value_parser = whole_number(1_u32..=10_000))]
    connections: u32,

    /// How many votes are due in a second, whether answers come or not; if not set, as fast as answers come
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,

    /// How long votes are sent; if neither this nor --votes is set, 10s. Ctrl-C ends it earlier, and then checks
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,

    /// How many votes are sent
    #[arg(long, value_parser = whole_number(0..=u64::MAX))]
    votes: Option<u64>,

    /// Chooses whose turn it is, the choices and the replicas; if not set, a new one, which is printed
    #[arg(long, value_parser = whole_number(0..=u64::MAX))]
    seed: Option<u64>,

    /// How long a voter waits for an answer
    #[arg(long, default_value = "5s", value_parser = duration)]
    request_timeout: Duration,

    /// How long the result may take to catch up, before what is wrong then is reported
    #[arg(long, default_value = "60s", value_parser = duration)]
    settle: Duration,

    /// A file for the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who votes where.
    pub load: LoadConfig,
    /// The result service.
    pub result: Target,
    /// The store, if it is looked into.
    pub store: Option<StoreConfig>,
    /// How long the result may take to catch up.
    pub settle: Duration,
    /// Where the report goes as JSON.
    pub json: Option<PathBuf>,
}

impl Settings {
    /// Checks the settings.
    ///
    /// # Errors
    /// The store's URL is none, or its file cannot be read.
    pub fn config(&self) -> anyhow::Result<Config> {
        let url = secret(
            "DATABASE_URL",
            self.database_url.as_deref(),
            self.database_url_file.as_deref(),
        )?;
        let store = match url {
            Some(url) => Some(StoreConfig {
                url: url.parse()?,
                timeout: STORE_TIMEOUT,
                max_connections: STORE_CONNECTIONS,
            }),
            None => None,
        };
        let unbounded = self.duration.is_none() && self.votes.is_none();
        let plan = Plan {
            rate: self.rate,
            duration: self.duration.or(unbounded.then_some(DURATION)),
            votes: self.votes,
        };
        Ok(Config {
            load: LoadConfig {
                vote: self.vote_url.clone(),
                voters: self.voters as usize,
                connections: self.connections as usize,
                plan,
                seed: self.seed.unwrap_or_else(rand::random),
                request_timeout: self.request_timeout,
            },
            result: self.result_url.clone(),
            store,
            settle: self.settle,
            json: self.json.clone(),
        })
    }
}

fn rate(raw: &str) -> Result<f64, String> {
    let rate = raw.parse().ok();
    rate.filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "write votes per second, more than 0, such as 500".into())
}
