//! Counts of votes.

/// The running tally: one row per option that ever had a vote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub Vec<OptionCount>);

/// One option's row of the tally.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct OptionCount {
    /// Key of the option.
    pub option: String,
    /// Number of votes.
    pub votes: i64,
    /// Time of the newest ballot for the option in milliseconds since the Unix epoch; 0 if unknown.
    pub last_cast_ms: i64,
}

impl Tally {
    /// Returns the number of votes for the option with this key.
    #[must_use]
    pub fn votes(&self, key: &str) -> u64 {
        self.0
            .iter()
            .find(|count| count.option == key)
            .map_or(0, |count| u64::try_from(count.votes).unwrap_or(0))
    }

    /// Returns the number of votes for all options, including those that the poll no longer has.
    #[must_use]
    pub fn total(&self) -> u64 {
        let votes = self.0.iter().map(|count| count.votes);
        votes.filter_map(|votes| u64::try_from(votes).ok()).sum()
    }
}

/// Number of the votes for one option that were cast in one step of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TimelinePoint {
    /// Start of the step in milliseconds since the Unix epoch.
    pub bucket: i64,
    /// Key of the option.
    pub option: String,
    /// Number of votes; positive.
    pub votes: i64,
}
