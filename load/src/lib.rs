//! Load generator with verification: many voters vote and change their votes over HTTP. Afterwards the rules of
//! [`mod@check`] verify that every accepted vote is counted, that no other vote is, and that the tally is right.
//!
//! [`Load::run`] votes and returns the history, [`Observer`] reads the stored votes and the result, and [`check()`]
//! compares them. Each can be used alone, for example while servers are killed.

pub mod api;
pub mod check;
mod cookie;
pub mod history;
pub mod http_client;
pub mod latencies;
pub mod observer;
mod report;
pub mod schedule;
pub mod settings;
pub mod store_snapshot;
mod virtual_user;

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use poll::PollId;
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use check::check;
pub use observer::Observer;
pub use report::Report;
pub use settings::{Config, Settings};

use crate::{
    api::{ApiError, PollDocument},
    history::{History, MAX_OPTIONS},
    http_client::{Connector, HttpClient, Target},
    latencies::Latencies,
    schedule::{Plan, Schedule},
    virtual_user::{SharedContext, VirtualUser},
};

/// Configuration of one run.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Base URLs of the voting service's replicas: 1 to 255.
    pub vote: Vec<Target>,
    /// Number of voters.
    pub voters: usize,
    /// Number of concurrent virtual users. Each has its own connection to every replica.
    pub connections: usize,
    /// Amount and rate of the votes.
    pub plan: Plan,
    /// Seed for the order of the voters, their choices and replicas.
    pub seed: u64,
    /// Timeout of one request.
    pub request_timeout: Duration,
}

/// Results of one run.
#[derive(Clone, Debug)]
pub struct Load {
    /// All voters' attempts and their outcomes.
    pub history: History,
    /// Latencies by outcome.
    pub latencies: Latencies,
    /// Time from the start to the last response.
    pub elapsed: Duration,
}

/// Error that prevents a run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The poll cannot be read.
    #[error(transparent)]
    Poll(#[from] ApiError),
    /// The poll accepts no votes.
    #[error("the poll at {0} is not open")]
    NotOpen(String),
    /// The number of options is 0 or more than a history can record.
    #[error("the poll has {0} options; up to {MAX_OPTIONS} can be recorded")]
    OptionCount(usize),
    /// The URLs are not replicas of one service.
    #[error("{0} and {1} do not have the same poll")]
    DifferentPolls(String, String),
    /// No root certificates are installed.
    #[error("no trusted root certificates found")]
    Certificates(#[from] io::Error),
}

impl Load {
    /// Votes until the plan is completed or `stop` is cancelled, then waits for the requests in flight.
    ///
    /// # Errors
    /// The services do not have one open poll. All later failures are part of the history.
    pub async fn run(config: &LoadConfig, stop: CancellationToken) -> Result<Self, LoadError> {
        let connector = Connector::new(&config.vote)?;
        let (poll, options) = fetch_poll(config, &connector).await?;
        // A vote names its poll, so that none is counted in another poll that opens during the run.
        let body = |option| Bytes::from(json!({ "choice": option, "poll": poll }).to_string());
        let context = Arc::new(SharedContext {
            bodies: options.iter().map(body).collect(),
            poll,
            schedule: Schedule::new(config.plan),
            open_loop: config.plan.rate.is_some(),
            request_timeout: config.request_timeout,
            latencies: Mutex::default(),
            stop,
        });
        let user_count = config.connections.clamp(1, config.voters.max(1));
        let mut random = SmallRng::seed_from_u64(config.seed);
        let mut users = JoinSet::new();
        for index in 0..user_count {
            // Each voter belongs to one virtual user, so a voter never has two requests in flight.
            let voters = (config.voters.max(1) - index).div_ceil(user_count);
            let user = VirtualUser {
                clients: config
                    .vote
                    .iter()
                    .map(|target| HttpClient::new(&connector, target))
                    .collect(),
                random: SmallRng::from_rng(&mut random),
                voters: std::iter::repeat_with(|| None).take(voters).collect(),
            };
            let context = context.clone();
            users.spawn(async move { user.run(&context).await });
        }
        let voters = users.join_all().await.into_iter().flatten().collect();
        let latencies = context
            .latencies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Self {
            history: History { options, voters },
            latencies: latencies.clone(),
            elapsed: context.schedule.started_at().elapsed(),
        })
    }
}

/// Fetches the poll's id and the options' keys, and checks that all services have the same poll.
async fn fetch_poll(
    config: &LoadConfig,
    connector: &Connector,
) -> Result<(PollId, Vec<String>), LoadError> {
    let mut first: Option<(&Target, PollDocument)> = None;
    for target in &config.vote {
        let poll = PollDocument::fetch(connector, target).await?;
        if poll.phase != "open" {
            return Err(LoadError::NotOpen(target.to_string()));
        }
        match &first {
            Some((other, expected)) if *expected != poll => {
                return Err(LoadError::DifferentPolls(
                    other.to_string(),
                    target.to_string(),
                ));
            }
            Some(_) => {}
            None => first = Some((target, poll)),
        }
    }
    let (_, poll) = first.ok_or(LoadError::OptionCount(0))?;
    let options = poll.keys();
    if (1..=MAX_OPTIONS).contains(&options.len()) {
        Ok((poll.id, options))
    } else {
        Err(LoadError::OptionCount(options.len()))
    }
}
