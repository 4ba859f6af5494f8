//! Comparison of the running counts with the votes.

use std::fmt;

/// An option whose running count differs from the number of its votes.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CountDifference {
    /// Id of the poll.
    pub poll: String,
    /// Key of the option.
    pub option: String,
    /// Running count.
    pub tally: i64,
    /// Number of votes.
    pub votes: i64,
}

/// Differences between the running counts and the votes in one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Options whose count differs.
    pub options: Vec<CountDifference>,
    /// Number of steps of the timeline that differ.
    pub timeline_steps: u64,
}

impl Comparison {
    /// Returns true if all counts are correct.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.options.is_empty() && self.timeline_steps == 0
    }

    /// Returns the sum of the differences of the tally over all options.
    #[must_use]
    pub fn votes(&self) -> u64 {
        let differences = self.options.iter();
        differences
            .map(|option| option.tally.abs_diff(option.votes))
            .sum()
    }
}

/// Formats one line for each difference.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CountDifference {
            poll,
            option,
            tally,
            votes,
        } in &self.options
        {
            writeln!(
                f,
                "poll {poll}, option {option}: {votes} votes, counted as {tally}"
            )?;
        }
        match self.timeline_steps {
            0 => Ok(()),
            1 => writeln!(f, "timeline: 1 step differs"),
            steps => writeln!(f, "timeline: {steps} steps differ"),
        }
    }
}

/// Queries of both backends.
pub(super) const COMPARE_TALLY: &str = "
    SELECT coalesce(counted.poll, tally.poll) AS poll, coalesce(counted.option, tally.option) AS option,
        coalesce(tally.votes, 0) AS tally, coalesce(counted.votes, 0) AS votes
    FROM (SELECT poll, vote AS option, count(*) AS votes FROM votes GROUP BY poll, vote) AS counted
        FULL JOIN tally ON tally.poll = counted.poll AND tally.option = counted.option
    WHERE coalesce(tally.votes, 0) <> coalesce(counted.votes, 0)
    ORDER BY 1, 2";
pub(super) const COMPARE_TIMELINE: &str = "
    SELECT count(*)
    FROM (
            SELECT poll, cast_ms / 10000 * 10000 AS bucket, vote AS option, count(*) AS votes
            FROM votes WHERE cast_ms > 0 GROUP BY 1, 2, 3
        ) AS counted
        FULL JOIN timeline ON timeline.poll = counted.poll AND timeline.bucket = counted.bucket
            AND timeline.option = counted.option
    WHERE coalesce(timeline.votes, 0) <> coalesce(counted.votes, 0)";
pub(super) const RECOUNT: &str = "
    DELETE FROM tally;
    DELETE FROM timeline;
    INSERT INTO tally (poll, option, votes, last_cast_ms)
        SELECT poll, vote, count(*), max(cast_ms) FROM votes GROUP BY poll, vote;
    INSERT INTO timeline (poll, bucket, option, votes)
        SELECT poll, cast_ms / 10000 * 10000, vote, count(*) FROM votes WHERE cast_ms > 0 GROUP BY 1, 2, 3;";
