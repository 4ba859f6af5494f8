//! What the voters did, and what they were answered.
//!
//! A voter may vote for hours, so its record does not grow: it keeps what the rules need (see [`mod@crate::check`]), and of
//! the attempts themselves the last few, for whoever has to find out why a rule is broken.

use std::collections::VecDeque;

use poll::ballot::{BallotId, VoterId};

/// How many of a voter's attempts are kept to be shown.
const SHOWN: usize = 6;
/// As many options as a poll may have, and more: a set of them is the bits of one number.
pub const MAX_OPTIONS: usize = 32;

/// Everybody who took part.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The keys of the options. An attempt names its choice by the place in this list.
    pub options: Vec<String>,
    /// The voters who tried to vote at least once.
    pub voters: Vec<VoterRecord>,
}

/// What became of one attempt to vote, as far as its voter can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the queue, in this place.
    Accepted(BallotId),
    /// It is not in the queue, and never will be: the answer was 4xx.
    Refused(u16),
    /// It was not sent: no connection could be made.
    NotSent,
    /// Nobody knows. It may be in the queue, or get there later, or never.
    Ambiguous(Doubt),
    /// It was accepted as somebody else's vote: the voter was not recognised by its cookie.
    Estranged(BallotId),
}

/// Why nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The answer was no receipt and no refusal, but this status, such as 503.
    Status(u16),
    /// There was no answer in time.
    Timeout,
    /// The connection broke.
    Broken,
    /// The answer was 202, and its body no receipt.
    Receipt,
}

/// One attempt to vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The choice's place in [`History::options`].
    pub choice: u8,
    /// Which of the vote URLs it was sent to, counted from 0.
    pub replica: u8,
    /// When it was sent, in milliseconds since the run began.
    pub sent_ms: u32,
    /// When its outcome was known, in milliseconds since the run began.
    pub known_ms: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// A set of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Choices(u32);

impl Choices {
    /// This set and one more option.
    #[must_use]
    pub fn with(self, choice: u8) -> Self {
        Self(self.0 | 1 << choice)
    }

    /// Whether the option is in the set.
    #[must_use]
    pub fn has(self, choice: u8) -> bool {
        usize::from(choice) < MAX_OPTIONS && self.0 & 1 << choice != 0
    }

    /// Whether there is none in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The newest accepted attempt of a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its place in the queue.
    pub ballot: BallotId,
    /// Its choice.
    pub choice: u8,
}

/// One voter's attempts, which were made one after the other: none was sent before the outcome of the last was known.
#[derive(Clone, Debug)]
pub struct VoterRecord {
    /// Who it is.
    pub voter: VoterId,
    /// How many attempts there were.
    pub attempts: u32,
    /// The newest that was accepted.
    pub accepted: Option<Accepted>,
    /// The choices of all that are ambiguous.
    pub ambiguous: Choices,
    /// The first pair of accepted attempts whose ballots are in the wrong order, the older attempt's first.
    pub reversed: Option<(BallotId, BallotId)>,
    /// A ballot of this voter's that was accepted as somebody else's.
    pub estranged: Option<BallotId>,
    /// The last attempts, oldest first.
    pub recent: VecDeque<Attempt>,
}

impl VoterRecord {
    /// A voter who has done nothing yet.
    #[must_use]
    pub fn new(voter: VoterId) -> Self {
        Self {
            voter,
            attempts: 0,
            accepted: None,
            ambiguous: Choices::default(),
            reversed: None,
            estranged: None,
            recent: VecDeque::new(),
        }
    }

    /// Adds the voter's next attempt.
    pub fn add(&mut self, attempt: Attempt) {
        self.attempts += 1;
        if self.recent.len() == SHOWN {
            self.recent.pop_front();
        }
        self.recent.push_back(attempt);
        match attempt.outcome {
            Outcome::Accepted(ballot) => {
                if let Some(before) = self.accepted
                    && ballot <= before.ballot
                {
                    self.reversed.get_or_insert((before.ballot, ballot));
                }
                let choice = attempt.choice;
                self.accepted = Some(Accepted { ballot, choice });
            }
            Outcome::Ambiguous(_) => self.ambiguous = self.ambiguous.with(attempt.choice),
            Outcome::Estranged(ballot) => {
                self.estranged.get_or_insert(ballot);
            }
            Outcome::Refused(_) | Outcome::NotSent => {}
        }
    }

    /// The choices that may stand for this voter in the end, as far as can be told without ballot ids.
    #[must_use]
    pub fn legal(&self) -> Choices {
        self.accepted.map_or(self.ambiguous, |accepted| {
            self.ambiguous.with(accepted.choice)
        })
    }
}
