//! Documents of the services' JSON API: the poll and the tally.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use poll::PollId;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    http_client::{Connector, HttpClient, RequestError, Target},
    store_snapshot::StoreSnapshot,
};

/// Timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Error of a request to a service's API.
#[derive(Debug, thiserror::Error)]
#[error("{target}{path}: {reason}")]
pub struct ApiError {
    target: String,
    path: &'static str,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the response is {0}; is this the right service?")]
    Status(StatusCode),
    #[error("the response cannot be parsed: {0}")]
    Json(#[from] serde_json::Error),
}

/// `GET /api/poll` of a voting service.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct PollDocument {
    /// Id of the poll.
    pub id: PollId,
    /// `open` if the poll accepts votes.
    pub phase: String,
    options: Vec<OptionKey>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct OptionKey {
    key: String,
}

impl PollDocument {
    /// Fetches the poll of a voting service.
    ///
    /// # Errors
    /// The service has no usable response.
    pub async fn fetch(connector: &Connector, vote: &Target) -> Result<Self, ApiError> {
        get(connector, vote, "/api/poll").await
    }

    /// Returns the keys of the options.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.options
            .iter()
            .map(|option| option.key.clone())
            .collect()
    }
}

/// Tally that the result service reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportedTally {
    /// Number of all votes.
    pub total: u64,
    /// Votes for each option, by key; `None`: hidden.
    pub options: BTreeMap<String, Option<u64>>,
    /// True if the service's last reads of the store failed.
    pub stale: bool,
}

#[derive(Deserialize)]
struct TallyDocument {
    poll: PollId,
    total: u64,
    options: Vec<OptionVotes>,
    stale: bool,
}

#[derive(Deserialize)]
struct OptionVotes {
    key: String,
    votes: Option<u64>,
}

impl ReportedTally {
    /// Fetches the tally of a result service.
    ///
    /// # Errors
    /// The service has no usable response.
    pub async fn fetch(connector: &Connector, result: &Target) -> Result<(PollId, Self), ApiError> {
        let tally: TallyDocument = get(connector, result, "/api/tally").await?;
        let options = tally.options.into_iter();
        let reported = Self {
            total: tally.total,
            options: options.map(|option| (option.key, option.votes)).collect(),
            stale: tally.stale,
        };
        Ok((tally.poll, reported))
    }

    /// Returns true if all numbers that are not hidden equal the tally of the store.
    #[must_use]
    pub fn matches(&self, store: &StoreSnapshot) -> bool {
        let tally = |option| store.tally.get(option).copied().unwrap_or_default();
        let mut options = self.options.iter();
        self.total == self.options.keys().map(tally).sum::<u64>()
            && options.all(|(option, votes)| votes.is_none_or(|votes| votes == tally(option)))
    }
}

async fn get<T: DeserializeOwned>(
    connector: &Connector,
    target: &Target,
    path: &'static str,
) -> Result<T, ApiError> {
    let document = async {
        let mut client = HttpClient::new(connector, target);
        let response = client
            .send(target.get(path), Instant::now() + REQUEST_TIMEOUT)
            .await?;
        if response.status != StatusCode::OK {
            return Err(Reason::Status(response.status));
        }
        Ok(serde_json::from_slice(&response.body)?)
    };
    document.await.map_err(|reason| ApiError {
        target: target.to_string().trim_end_matches('/').to_owned(),
        path,
        reason,
    })
}
