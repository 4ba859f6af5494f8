//! Looks at what is counted, until it has come to rest.

use std::{io, time::Duration};

use embedded::OpenError;
use store::{Store, StoreConfig, StoreError, StoreUrl};
use tokio::time::{Instant, sleep};

use crate::{
    check::{Seen, Violation, check},
    deployment::{Shown, UnusableAnswer},
    history::History,
    http::{Client, Target},
    votes::Votes,
};

/// How long to wait between two looks; what two in a row see has come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long votes of before may take to be counted.
const PATIENCE_BEFORE: Duration = Duration::from_secs(30);

/// Where what is counted can be seen.
pub struct Watch {
    client: Client,
    result: Target,
    store: Option<Store>,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rules that are broken.
    pub violations: Vec<Violation>,
    /// What was there to see in the end.
    pub seen: Seen,
    /// Whether it had come to rest: the same at two looks, and not stale.
    pub at_rest: bool,
}

/// There was nothing to see.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The result does not answer.
    #[error(transparent)]
    Result(#[from] UnusableAnswer),
    /// The store does not answer.
    #[error("DATABASE_URL")]
    Store(#[from] StoreError),
    /// The store's file cannot be used.
    #[error("DATABASE_URL")]
    Open(#[from] OpenError),
    /// There is no such file.
    #[error("DATABASE_URL: there is no database {0}")]
    NoFile(String),
    /// Votes are counted that nobody here has cast.
    #[error("the result does not come to rest; what is checked must be voted on by nobody else")]
    Restless,
    /// Certificates.
    #[error("no certificates to trust are found")]
    Certificates(#[from] io::Error),
}

impl Watch {
    /// Looks at this result service, and into this store if there is one. No vote is ever changed.
    ///
    /// # Errors
    /// The embedded file cannot be used.
    pub async fn new(result: Target, store: Option<&StoreConfig>) -> Result<Self, WatchError> {
        let store = match store {
            // A service would make the file.
            Some(StoreConfig {
                url: StoreUrl::Sqlite(file),
                ..
            }) if !file.exists() => return Err(WatchError::NoFile(file.display().to_string())),
            Some(config) => Some(Store::open(config).await?),
            None => None,
        };
        Ok(Self {
            client: Client::new([&result])?,
            result,
            store,
        })
    }

    /// What there is to see before the first vote, when what was cast before has been counted.
    ///
    /// # Errors
    /// The result or the store does not answer, or what there is to see does not come to rest.
    pub async fn before(&self) -> Result<Seen, WatchError> {
        // Something that is not there at all is not waited for.
        self.look().await?;
        let agrees = |seen: &Seen| {
            seen.votes
                .as_ref()
                .is_none_or(|votes| seen.shown.shows(votes))
        };
        let (seen, at_rest) = self.rest(PATIENCE_BEFORE, agrees).await?;
        at_rest.then_some(seen).ok_or(WatchError::Restless)
    }

    /// Looks until no rule is broken and nothing moves, for as long as `patience` lasts.
    ///
    /// # Errors
    /// The result or the store does not answer, and has not until the end.
    pub async fn settle(
        &self,
        history: &History,
        before: &Seen,
        patience: Duration,
    ) -> Result<Verdict, WatchError> {
        let holds = |seen: &Seen| check(history, before, seen).is_empty();
        let (seen, at_rest) = self.rest(patience, holds).await?;
        Ok(Verdict {
            violations: check(history, before, &seen),
            seen,
            at_rest,
        })
    }

    /// Looks until what there is to see is `good` and the same twice; returns what was seen last, and whether it was so.
    async fn rest(
        &self,
        patience: Duration,
        good: impl Fn(&Seen) -> bool,
    ) -> Result<(Seen, bool), WatchError> {
        let deadline = Instant::now() + patience;
        let mut last = None;
        loop {
            let began = Instant::now();
            let looked = self.look().await;
            let late = Instant::now() >= deadline;
            match looked {
                Ok(seen) => {
                    let at_rest = !seen.shown.stale && last.as_ref() == Some(&seen) && good(&seen);
                    if late || at_rest {
                        return Ok((seen, at_rest));
                    }
                    last = Some(seen);
                }
                Err(error) if late => return Err(error),
                Err(_) => last = None,
            }
            // As long as the look took, where the votes are many: others want to use the store too.
            sleep(LOOK_EVERY.max(began.elapsed())).await;
        }
    }

    async fn look(&self) -> Result<Seen, WatchError> {
        let votes = match &self.store {
            Some(store) => Some(Votes::read(store).await?),
            None => None,
        };
        let shown = Shown::by(&self.client, &self.result).await?;
        Ok(Seen { votes, shown })
    }
}
