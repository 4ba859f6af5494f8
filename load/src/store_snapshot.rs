//! Complete contents of the store for one poll.

use std::collections::{BTreeMap, HashMap};

use futures_util::TryStreamExt;
use poll::{PollId, ballot::BallotId};
use store::{Store, StoreError};

/// All stored votes in a poll and its stored tally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSnapshot {
    /// Votes by the voter's id in this poll, as in the table.
    pub votes: HashMap<String, StoredVote>,
    /// Stored tally by option key, without options that have no votes.
    pub tally: BTreeMap<String, u64>,
}

/// A voter's stored vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVote {
    /// Key of the option.
    pub choice: String,
    /// Ballot of the vote; `None`: unknown, as for votes imported from the original app.
    pub ballot: Option<BallotId>,
}

impl StoreSnapshot {
    /// Reads all votes in the poll, with about 150 bytes of memory for each. Votes and tally are consistent only if no
    /// votes are stored meanwhile.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn read(store: &Store, poll: &PollId) -> Result<Self, StoreError> {
        let mut votes = HashMap::new();
        let mut rows = store.stored_votes(Some(poll));
        while let Some(row) = rows.try_next().await? {
            let (choice, ballot) = (row.choice, row.ballot);
            votes.insert(row.voter, StoredVote { choice, ballot });
        }
        let tally = store.tally(poll).await?.0.into_iter();
        let tally = tally
            .filter(|count| count.votes != 0)
            .map(|count| (count.option, u64::try_from(count.votes).unwrap_or(u64::MAX)))
            .collect();
        Ok(Self { votes, tally })
    }

    /// Counts the votes by option key.
    #[must_use]
    pub fn count_votes(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for vote in self.votes.values() {
            if let Some(count) = counts.get_mut(&vote.choice) {
                *count += 1;
            } else {
                counts.insert(vote.choice.clone(), 1);
            }
        }
        counts
    }
}
