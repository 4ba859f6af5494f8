//! Violations of the rules and their descriptions.

use std::fmt;

use poll::ballot::{BallotId, VoterId};

use super::CountRange;
use crate::{
    history::{AmbiguityReason, Attempt, Outcome, VoterRecord},
    store_snapshot::StoredVote,
};

/// Violation of a rule. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A voter has an accepted vote but no stored vote.
    #[error(
        "lost: ballot {ballot} for {choice:?} was accepted, but its voter has no stored vote; {voter}"
    )]
    Lost {
        /// Voter of the ballot.
        voter: VoterSummary,
        /// Accepted ballot.
        ballot: BallotId,
        /// Choice of the ballot.
        choice: String,
    },
    /// The stored vote is older than the newest accepted one.
    #[error("outdated: {stored} is stored, but the newer ballot {newest} was accepted; {voter}")]
    Outdated {
        /// Voter of both ballots.
        voter: VoterSummary,
        /// Stored vote.
        stored: StoredVote,
        /// Newest accepted ballot.
        newest: BallotId,
    },
    /// The voter cannot have cast the stored vote.
    #[error("phantom: {stored} is stored, but its voter cannot have cast it; {voter}")]
    Phantom {
        /// Voter of the stored vote.
        voter: VoterSummary,
        /// Stored vote.
        stored: StoredVote,
    },
    /// A voter's newer vote was accepted with the lower ballot id, so the older one stays stored.
    #[error(
        "id-order: ballot {newer} was accepted after {older}, but its id is not greater; {voter}"
    )]
    IdOrder {
        /// Voter of both ballots.
        voter: VoterSummary,
        /// Ballot accepted first.
        older: BallotId,
        /// Ballot accepted second.
        newer: BallotId,
    },
    /// A vote was accepted for another voter than the one in its cookie.
    #[error(
        "voter-mismatch: ballot {ballot} was accepted as another voter's; do all replicas have the same COOKIE_KEY? {voter}"
    )]
    VoterMismatch {
        /// Voter of the cookie that was sent.
        voter: VoterSummary,
        /// Accepted ballot.
        ballot: BallotId,
    },
    /// A new vote is stored for a voter who did not take part.
    #[error("unknown: {stored} is stored for voter {voter}, who did not take part")]
    Unknown {
        /// Voter id in the table.
        voter: String,
        /// Stored vote.
        stored: StoredVote,
    },
    /// A vote from before the run is missing or different.
    #[error("changed: {before} was stored for voter {voter} before the run, now {}", or_nothing(after.as_ref()))]
    Changed {
        /// Voter id in the table.
        voter: String,
        /// Vote stored before the run.
        before: StoredVote,
        /// Vote stored now; `None`: no vote.
        after: Option<StoredVote>,
    },
    /// The stored tally differs from the stored votes.
    #[error("tally: {tally} for {option:?}, but {counted} votes are stored for it")]
    Tally {
        /// Key of the option.
        option: String,
        /// Number in the stored tally.
        tally: u64,
        /// Number of stored votes.
        counted: u64,
    },
    /// The result page shows an impossible tally.
    #[error("reported-tally: the result page shows {reported} votes{}, expected {expected}", for_option(option.as_deref()))]
    ReportedTally {
        /// Key of the option; `None`: all options.
        option: Option<String>,
        /// Number on the result page.
        reported: u64,
        /// Possible numbers.
        expected: CountRange,
    },
}

impl Violation {
    /// Returns the name of the rule, which is the first word of the text.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Outdated { .. } => "outdated",
            Self::Phantom { .. } => "phantom",
            Self::IdOrder { .. } => "id-order",
            Self::VoterMismatch { .. } => "voter-mismatch",
            Self::Unknown { .. } => "unknown",
            Self::Changed { .. } => "changed",
            Self::Tally { .. } => "tally",
            Self::ReportedTally { .. } => "reported-tally",
        }
    }

    /// Checks a number on the result page against the possible numbers.
    pub(super) fn check_reported(
        option: Option<&String>,
        reported: u64,
        expected: CountRange,
    ) -> Option<Self> {
        (!expected.contains(reported)).then(|| Self::ReportedTally {
            option: option.cloned(),
            reported,
            expected,
        })
    }
}

fn or_nothing(stored: Option<&StoredVote>) -> String {
    stored.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

fn for_option(option: Option<&str>) -> String {
    option.map_or_else(String::new, |option| format!(" for {option:?}"))
}

/// Formats as `a vote for "a" by ballot 5-0`.
impl fmt::Display for StoredVote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a vote for {:?}", self.choice)?;
        match self.ballot {
            Some(ballot) => write!(f, " by ballot {ballot}"),
            None => f.write_str(" by an unknown ballot"),
        }
    }
}

/// Formats as `5` or `5 to 7`.
impl fmt::Display for CountRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{} to {}", self.low, self.high)
        }
    }
}

/// Voter of a violation and its last attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterSummary {
    /// Voter id.
    pub id: VoterId,
    /// Number of attempts.
    pub attempts: u32,
    /// Descriptions of the last attempts, oldest first.
    pub recent: Vec<String>,
}

impl VoterSummary {
    pub(super) fn of(record: &VoterRecord, options: &[String]) -> Self {
        let recent = record.recent.iter();
        Self {
            id: record.voter,
            attempts: record.attempts,
            recent: recent.map(|attempt| describe(attempt, options)).collect(),
        }
    }
}

impl fmt::Display for VoterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, recent) = (self.id, self.recent.join(", "));
        write!(f, "voter {id}, attempts {}: ", self.attempts)?;
        if self.recent.len() < self.attempts as usize {
            f.write_str("…, ")?;
        }
        f.write_str(&recent)
    }
}

fn describe(attempt: &Attempt, options: &[String]) -> String {
    let outcome = match attempt.outcome {
        Outcome::Accepted(ballot) => format!("accepted as {ballot}"),
        Outcome::VoterMismatch(ballot) => format!("accepted as another voter's {ballot}"),
        Outcome::Rejected(status) => format!("rejected with {status}"),
        Outcome::NotSent => "not sent".to_owned(),
        Outcome::Ambiguous(reason) => match reason {
            AmbiguityReason::Status(status) => format!("ambiguous with {status}"),
            AmbiguityReason::Timeout => "ambiguous by a timeout".to_owned(),
            AmbiguityReason::BrokenConnection => "ambiguous by a broken connection".to_owned(),
            AmbiguityReason::InvalidReceipt => "ambiguous by an invalid receipt".to_owned(),
        },
    };
    let Attempt {
        replica,
        sent_ms,
        completed_ms,
        ..
    } = attempt;
    let choice = &options[usize::from(attempt.choice)];
    format!("{choice} {outcome} ({sent_ms}–{completed_ms} ms, URL {replica})")
}
