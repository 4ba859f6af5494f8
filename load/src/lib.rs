//! Load that checks: many voters vote and change their minds over HTTP, and afterwards it is proven that nothing accepted
//! is lost, nothing is counted that nobody cast, and the tally is right.
//!
//! [`Load::run`] votes and returns what happened, [`Watch`] looks at what is counted, and [`check()`] judges. Each can be
//! used alone, such as while servers are killed.

pub mod check;
mod cookie;
pub mod deployment;
pub mod history;
pub mod http;
pub mod latencies;
pub mod pace;
mod report;
mod seat;
pub mod settings;
pub mod votes;
pub mod watch;

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use check::check;
pub use report::Report;
pub use settings::{Config, Settings};
pub use watch::Watch;

use crate::{
    deployment::{PollDocument, UnusableAnswer},
    history::{History, MAX_OPTIONS},
    http::{Client, Line},
    latencies::Latencies,
    pace::{Pace, Plan},
    seat::{Room, Seat},
};

/// Who votes where.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The voting services: replicas of one. 1 to 255.
    pub vote: Vec<http::Target>,
    /// How many voters there are.
    pub voters: usize,
    /// How many of them vote at the same time, each on a connection of its own to every service.
    pub connections: usize,
    /// How much and how fast.
    pub plan: Plan,
    /// Chooses the voters' turns, choices and services.
    pub seed: u64,
    /// How long a voter waits for an answer.
    pub request_timeout: Duration,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Load {
    /// What the voters did and were answered.
    pub history: History,
    /// How long they waited.
    pub latencies: Latencies,
    /// How long it took from the first vote to the last answer.
    pub took: Duration,
}

/// Nobody could vote.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The poll is not known.
    #[error(transparent)]
    Poll(#[from] UnusableAnswer),
    /// It takes no votes.
    #[error("the poll at {0} is not open")]
    NotOpen(String),
    /// It has more options than can be recorded.
    #[error("the poll has {0} options; up to {MAX_OPTIONS} can be recorded")]
    Options(usize),
    /// The services are no replicas of one.
    #[error("{0} and {1} do not hold the same poll")]
    Different(String, String),
    /// Certificates.
    #[error("no certificates to trust are found")]
    Certificates(#[from] io::Error),
}

impl Load {
    /// Votes until the plan is carried out or `stop` is cancelled; requests in hand are then still waited for.
    ///
    /// # Errors
    /// The services do not hold one open poll. Whatever goes wrong later is part of the history.
    pub async fn run(config: &LoadConfig, stop: CancellationToken) -> Result<Self, LoadError> {
        let client = Client::new(&config.vote)?;
        let options = options(config, &client).await?;
        let body = |option| Bytes::from(json!({ "choice": option }).to_string());
        let room = Arc::new(Room {
            bodies: options.iter().map(body).collect(),
            pace: Pace::new(config.plan),
            open_loop: config.plan.rate.is_some(),
            request_timeout: config.request_timeout,
            latencies: Mutex::default(),
            stop,
        });
        let seats = config.connections.clamp(1, config.voters.max(1));
        let mut random = SmallRng::seed_from_u64(config.seed);
        let mut voting = JoinSet::new();
        for seat in 0..seats {
            // Each voter has a seat of its own: never has one two requests in hand.
            let voters = (config.voters.max(1) - seat).div_ceil(seats);
            let seat = Seat {
                lines: config
                    .vote
                    .iter()
                    .map(|target| Line::new(&client, target))
                    .collect(),
                random: SmallRng::from_rng(&mut random),
                voters: std::iter::repeat_with(|| None).take(voters).collect(),
            };
            let room = room.clone();
            voting.spawn(async move { seat.vote(&room).await });
        }
        let voters = voting.join_all().await.into_iter().flatten().collect();
        let latencies = room
            .latencies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Self {
            history: History { options, voters },
            latencies: latencies.clone(),
            took: room.pace.began().elapsed(),
        })
    }
}

/// The options' keys, which all services must agree on.
async fn options(config: &LoadConfig, client: &Client) -> Result<Vec<String>, LoadError> {
    let mut first: Option<(&http::Target, PollDocument)> = None;
    for target in &config.vote {
        let poll = PollDocument::of(client, target).await?;
        if poll.phase != "open" {
            return Err(LoadError::NotOpen(target.to_string()));
        }
        match &first {
            Some((other, same)) if *same != poll => {
                let different = LoadError::Different(other.to_string(), target.to_string());
                return Err(different);
            }
            Some(_) => {}
            None => first = Some((target, poll)),
        }
    }
    let options = first.map(|(_, poll)| poll.keys()).unwrap_or_default();
    if (1..=MAX_OPTIONS).contains(&options.len()) {
        Ok(options)
    } else {
        Err(LoadError::Options(options.len()))
    }
}
