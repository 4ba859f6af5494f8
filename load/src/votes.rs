//! What the store holds, read as a whole.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use poll::ballot::BallotId;
use store::{Store, StoreError};

/// Every standing vote, and the tally kept beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// The votes, by the voters' ids as they are in the table.
    pub standing: HashMap<String, Standing>,
    /// The running tally, by the options' keys; without options that have no votes.
    pub tally: BTreeMap<String, u64>,
}

/// One voter's vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The key of the option.
    pub choice: String,
    /// The ballot it comes from; `None`: unknown, as for votes taken over from the original app.
    pub ballot: Option<BallotId>,
}

impl Votes {
    /// Reads them all: some 150 bytes of memory for each. Votes and tally are of one moment only while nobody votes.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut standing = HashMap::new();
        let mut votes = store.stored_votes();
        while let Some(vote) = votes.try_next().await? {
            let (choice, ballot) = (vote.choice, vote.ballot);
            standing.insert(vote.voter, Standing { choice, ballot });
        }
        let tally = store.tally().await?.0.into_iter();
        let tally = tally
            .filter(|count| count.votes != 0)
            .map(|count| (count.option, u64::try_from(count.votes).unwrap_or(u64::MAX)))
            .collect();
        Ok(Self { standing, tally })
    }

    /// The votes counted anew, by the options' keys.
    #[must_use]
    pub fn counted(&self) -> BTreeMap<String, u64> {
        let mut counted = BTreeMap::new();
        for vote in self.standing.values() {
            if let Some(count) = counted.get_mut(&vote.choice) {
                *count += 1;
            } else {
                counted.insert(vote.choice.clone(), 1);
            }
        }
        counted
    }
}
