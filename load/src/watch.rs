//! Looks at what is counted, until it has come to rest.

use std::{io, time::Duration};

use shared::{
    sqlite::OpenError,
    store::{Store, StoreConfig, StoreError, StoreUrl},
};
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

    /// What there is to see now.
    ///
    /// # Errors
    /// The result or the store does not answer.
    pub async fn look(&self) -> Result<Seen, WatchError> {
        let votes = match &self.store {
            Some(store) => Some(Votes::read(store).await?),
            None => None,
        };
        let shown = Shown::by(&self.client, &self.result).await?;
        Ok(Seen { votes, shown })
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
        let deadline = Instant::now() + patience;
        let mut last = None;
        loop {
            let began = Instant::now();
            let looked = self.look().await;
            let late = Instant::now() >= deadline;
            match looked {
                Ok(seen) => {
                    let at_rest = !seen.shown.stale && last.as_ref() == Some(&seen);
                    let violations = check(history, before, &seen);
                    if late || (at_rest && violations.is_empty()) {
                        return Ok(Verdict {
                            violations,
                            seen,
                            at_rest,
                        });
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
}
