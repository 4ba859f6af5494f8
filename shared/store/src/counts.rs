//! What the store counts.

/// The running tally: one row per option that was ever voted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub Vec<OptionCount>);

/// One option's row of the tally.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct OptionCount {
    /// The option's key.
    pub option: String,
    /// Its standing votes.
    pub votes: i64,
    /// When the newest ballot for it was cast, in milliseconds since the Unix epoch; 0: unknown.
    pub last_cast_ms: i64,
}

impl Tally {
    /// The standing votes for the option with this key.
    #[must_use]
    pub fn votes(&self, key: &str) -> u64 {
        self.0
            .iter()
            .find(|count| count.option == key)
            .map_or(0, |count| u64::try_from(count.votes).unwrap_or(0))
    }
}

/// How many of the standing votes for one option were cast in one step of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TimelinePoint {
    /// The step's start, in milliseconds since the Unix epoch.
    pub bucket: i64,
    /// The option's key.
    pub option: String,
    /// The votes: more than 0.
    pub votes: i64,
}
