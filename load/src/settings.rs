//! Settings of the load generator.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use cli::{duration, secret, whole_number};
use store::StoreConfig;

use crate::{LoadConfig, http_client::Target, schedule::Plan};

/// Default length of the run.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Timeout of one store transaction.
const STORE_TIMEOUT: Duration = Duration::from_secs(20);
/// Smallest pool size that a store supports, because the services need connections too.
const MAX_STORE_CONNECTIONS: u32 = 3;

/// Settings from the command line and the environment.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// URL of the voting page; several, separated by commas, for replicas
    #[arg(
        long,
        env = "LOAD_VOTE_URL",
        value_delimiter = ',',
        default_value = "http://localhost:8080"
    )]
    vote_url: Vec<Target>,

    /// URL of the result page
    #[arg(long, env = "LOAD_RESULT_URL", default_value = "http://localhost:8081")]
    result_url: Target,

    /// Store in which every vote is checked: postgres://… or sqlite://FILE; if not set, only the sums on the result page
    /// are checked
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// File with the DATABASE_URL, for secrets
    #[arg(long, env = "DATABASE_URL_FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,

    /// Number of voters; each votes repeatedly and changes its vote
    #[arg(long, default_value_t = 1000, value_parser = whole_number(1..=u32::MAX))]
    voters: u32,

    /// Number of voters that vote at the same time, each with its own connection to every LOAD_VOTE_URL
    #[arg(long, default_value_t = 64, value_parser = whole_number(1_u32..=10_000))]
    connections: u32,

    /// Votes per second, independent of the responses; if not set, each connection votes again after a response
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,

    /// Length of the run; if neither this nor --votes is set, 10s. Ctrl-C ends the run and starts the checks
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,

    /// Number of votes
    #[arg(long, value_parser = whole_number(0..=u64::MAX))]
    votes: Option<u64>,

    /// Seed for the order of the voters, their choices and replicas; if not set, a random seed, which is printed
    #[arg(long, value_parser = whole_number(0..=u64::MAX))]
    seed: Option<u64>,

    /// Timeout of a request
    #[arg(long, default_value = "5s", value_parser = duration)]
    request_timeout: Duration,

    /// Timeout for the result to catch up after the run; violations that remain then are reported
    #[arg(long, default_value = "60s", value_parser = duration)]
    settle: Duration,

    /// File for the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Validated settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Configuration of the run.
    pub load: LoadConfig,
    /// Base URL of the result service.
    pub result: Target,
    /// Store, if it is checked.
    pub store: Option<StoreConfig>,
    /// Timeout for the result to catch up after the run.
    pub settle: Duration,
    /// File for the report as JSON.
    pub json: Option<PathBuf>,
}

impl Settings {
    /// Validates the settings.
    ///
    /// # Errors
    /// The store's URL is invalid, or its file cannot be read.
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
                max_connections: MAX_STORE_CONNECTIONS,
            }),
            None => None,
        };
        let unbounded = self.duration.is_none() && self.votes.is_none();
        let plan = Plan {
            rate: self.rate,
            duration: self.duration.or(unbounded.then_some(DEFAULT_DURATION)),
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
