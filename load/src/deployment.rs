//! What a deployment tells about itself: the poll, and the result.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    http::{Client, Failure, Line, Target},
    votes::Votes,
};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A service did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("{target}{path}: {why}")]
pub struct UnusableAnswer {
    target: String,
    path: &'static str,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Failure(#[from] Failure),
    #[error("it answers {0}; is this the right service?")]
    Status(StatusCode),
    #[error("its answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

/// `GET /api/poll` of a voting service.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct PollDocument {
    /// Whether votes are taken: `open`, or not.
    pub phase: String,
    options: Vec<OptionKey>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct OptionKey {
    key: String,
}

impl PollDocument {
    /// The poll that this service holds.
    ///
    /// # Errors
    /// It does not tell.
    pub async fn of(client: &Client, vote: &Target) -> Result<Self, UnusableAnswer> {
        get(client, vote, "/api/poll").await
    }

    /// The keys of the options.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.options
            .iter()
            .map(|option| option.key.clone())
            .collect()
    }
}

/// What the result service shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// All votes.
    pub total: u64,
    /// The votes for each option, by key; `None`: hidden.
    pub options: BTreeMap<String, Option<u64>>,
    /// Whether it could not read the store lately.
    pub stale: bool,
}

#[derive(Deserialize)]
struct TallyDocument {
    total: u64,
    options: Vec<OptionVotes>,
    stale: bool,
}

#[derive(Deserialize)]
struct OptionVotes {
    key: String,
    votes: Option<u64>,
}

impl Shown {
    /// What this service shows now.
    ///
    /// # Errors
    /// It does not tell.
    pub async fn by(client: &Client, result: &Target) -> Result<Self, UnusableAnswer> {
        let tally: TallyDocument = get(client, result, "/api/tally").await?;
        let options = tally.options.into_iter();
        Ok(Self {
            total: tally.total,
            options: options.map(|option| (option.key, option.votes)).collect(),
            stale: tally.stale,
        })
    }

    /// Whether this is the tally of these votes, as far as it is not hidden.
    #[must_use]
    pub fn shows(&self, votes: &Votes) -> bool {
        let tally = |option| votes.tally.get(option).copied().unwrap_or_default();
        let mut options = self.options.iter();
        self.total == self.options.keys().map(tally).sum::<u64>()
            && options.all(|(option, votes)| votes.is_none_or(|votes| votes == tally(option)))
    }
}

async fn get<T: DeserializeOwned>(
    client: &Client,
    target: &Target,
    path: &'static str,
) -> Result<T, UnusableAnswer> {
    let answer = async {
        let mut line = Line::new(client, target);
        let answer = line
            .ask(target.get(path), Instant::now() + PATIENCE)
            .await?;
        if answer.status != StatusCode::OK {
            return Err(Why::Status(answer.status));
        }
        Ok(serde_json::from_slice(&answer.body)?)
    };
    answer.await.map_err(|why| UnusableAnswer {
        target: target.to_string().trim_end_matches('/').to_owned(),
        path,
        why,
    })
}
