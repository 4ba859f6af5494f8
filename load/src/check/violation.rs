//! A broken rule, in words.

use std::fmt;

use poll::ballot::{BallotId, VoterId};

use super::Range;
use crate::{
    history::{Attempt, Doubt, Outcome, VoterRecord},
    votes::Standing,
};

/// A rule that does not hold. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// An accepted vote is not there, nor any other of its voter.
    #[error("lost: ballot {ballot} for {choice:?} was accepted, and its voter has no vote; {who}")]
    Lost {
        /// Whose it is.
        who: Who,
        /// The ballot.
        ballot: BallotId,
        /// Its choice.
        choice: String,
    },
    /// A vote older than the newest accepted one stands.
    #[error("outdated: {standing} stands, and the newer ballot {newest} was accepted; {who}")]
    Outdated {
        /// Whose it is.
        who: Who,
        /// What stands.
        standing: Standing,
        /// What should.
        newest: BallotId,
    },
    /// A voter's vote is none that it can have cast.
    #[error("never cast: {standing} stands, which its voter cannot have cast; {who}")]
    NeverCast {
        /// Whose it is.
        who: Who,
        /// What stands.
        standing: Standing,
    },
    /// A voter's newer vote was accepted with the lower ballot id, so that the older one stands.
    #[error("reversed: ballot {newer} was accepted after {older}, which is not lower; {who}")]
    Reversed {
        /// Whose they are.
        who: Who,
        /// The ballot accepted first.
        older: BallotId,
        /// The ballot accepted then.
        newer: BallotId,
    },
    /// A voter's cookie was not recognised.
    #[error(
        "estranged: ballot {ballot} was accepted as another voter's; do all replicas have the same COOKIE_KEY? {who}"
    )]
    Estranged {
        /// Whose it is.
        who: Who,
        /// The ballot.
        ballot: BallotId,
    },
    /// A vote of nobody who took part, which was not there before.
    #[error("unknown: {standing} stands for voter {voter}, who did not take part")]
    Unknown {
        /// The voter's id in the table.
        voter: String,
        /// What stands.
        standing: Standing,
    },
    /// A vote that stood before is gone, or another one.
    #[error("changed: {before} stood for voter {voter} before, now {}", or_nothing(after.as_ref()))]
    Changed {
        /// The voter's id in the table.
        voter: String,
        /// What stood before.
        before: Standing,
        /// What stands now; `None`: nothing.
        after: Option<Standing>,
    },
    /// The running tally differs from the votes.
    #[error("tally: {tally} for {option:?}, and there are {counted} votes for it")]
    Tally {
        /// The option's key.
        option: String,
        /// What the tally says.
        tally: u64,
        /// How many votes there are.
        counted: u64,
    },
    /// The result page shows what cannot be.
    #[error("shown: the result shows {shown} votes{}, and there {range}", for_option(option.as_deref()))]
    Shown {
        /// The option's key; `None`: all.
        option: Option<String>,
        /// How many are shown.
        shown: u64,
        /// How many there can be.
        range: Range,
    },
}

impl Violation {
    /// The rule's name: the first word of its line.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Outdated { .. } => "outdated",
            Self::NeverCast { .. } => "never cast",
            Self::Reversed { .. } => "reversed",
            Self::Estranged { .. } => "estranged",
            Self::Unknown { .. } => "unknown",
            Self::Changed { .. } => "changed",
            Self::Tally { .. } => "tally",
            Self::Shown { .. } => "shown",
        }
    }

    /// The violation, if so many cannot be shown.
    pub(super) fn shown_outside(option: Option<&String>, shown: u64, range: Range) -> Option<Self> {
        (!range.holds(shown)).then(|| Self::Shown {
            option: option.cloned(),
            shown,
            range,
        })
    }
}

fn or_nothing(standing: Option<&Standing>) -> String {
    standing.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

fn for_option(option: Option<&str>) -> String {
    option.map_or_else(String::new, |option| format!(" for {option:?}"))
}

/// A vote for "a" by ballot 5-0.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a vote for {:?}", self.choice)?;
        match self.ballot {
            Some(ballot) => write!(f, " by ballot {ballot}"),
            None => f.write_str(" by an unknown ballot"),
        }
    }
}

/// Are 5, or are 5 to 7.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "are {}", self.low)
        } else {
            write!(f, "are {} to {}", self.low, self.high)
        }
    }
}

/// The voter of a violation, and what it did last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Who it is.
    pub voter: VoterId,
    /// How many attempts there were.
    pub attempts: u32,
    /// The last of them, oldest first, in words.
    pub recent: Vec<String>,
}

impl Who {
    pub(super) fn of(record: &VoterRecord, options: &[String]) -> Self {
        let shown = record.recent.iter();
        Self {
            voter: record.voter,
            attempts: record.attempts,
            recent: shown.map(|attempt| in_words(attempt, options)).collect(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (voter, recent) = (self.voter, self.recent.join(", "));
        write!(f, "voter {voter}, attempts {}: ", self.attempts)?;
        if self.recent.len() < self.attempts as usize {
            f.write_str("…, ")?;
        }
        f.write_str(&recent)
    }
}

fn in_words(attempt: &Attempt, options: &[String]) -> String {
    let outcome = match attempt.outcome {
        Outcome::Accepted(ballot) => format!("accepted as {ballot}"),
        Outcome::Estranged(ballot) => format!("accepted as another voter's {ballot}"),
        Outcome::Refused(status) => format!("refused with {status}"),
        Outcome::NotSent => "not sent".to_owned(),
        Outcome::Ambiguous(Doubt::Status(status)) => format!("ambiguous with {status}"),
        Outcome::Ambiguous(Doubt::Timeout) => "ambiguous by a timeout".to_owned(),
        Outcome::Ambiguous(Doubt::Broken) => "ambiguous by a broken connection".to_owned(),
        Outcome::Ambiguous(Doubt::Receipt) => "ambiguous by an unreadable receipt".to_owned(),
    };
    let Attempt {
        replica,
        sent_ms,
        known_ms,
        ..
    } = attempt;
    let choice = &options[usize::from(attempt.choice)];
    format!("{choice} {outcome} ({sent_ms}–{known_ms} ms, URL {replica})")
}
