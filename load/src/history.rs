//! History of the voters' attempts and their outcomes.
//!
//! A run may take hours, so the record of a voter has a fixed size: the summary that the rules need (see
//! [`mod@crate::check`]), and the last few attempts for the analysis of a violation.

use std::collections::VecDeque;

use poll::ballot::{BallotId, VoterId};

/// Maximum number of attempts in [`VoterRecord::recent`].
const MAX_RECENT_ATTEMPTS: usize = 6;
/// Maximum number of options, more than a poll may have. [`ChoiceSet`] has one bit for each.
pub const MAX_OPTIONS: usize = 32;

/// Records of all voters who took part.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Keys of the options. The choice of an attempt is an index into this list.
    pub options: Vec<String>,
    /// Voters with at least one attempt.
    pub voters: Vec<VoterRecord>,
}

/// Outcome of one attempt, as far as its voter can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The vote is in the queue with this ballot id.
    Accepted(BallotId),
    /// The vote is not in the queue and never will be: the response has this 4xx status.
    Rejected(u16),
    /// The request was not sent, because there was no connection.
    NotSent,
    /// Unknown: the vote may be in the queue, may enter it later, or never.
    Ambiguous(AmbiguityReason),
    /// The vote was accepted as another voter's: the service did not recognise the cookie.
    VoterMismatch(BallotId),
}

/// Reason why an outcome is ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmbiguityReason {
    /// The response is neither a receipt nor a rejection, but has this status, such as 503.
    Status(u16),
    /// There was no response before the timeout.
    Timeout,
    /// The connection broke.
    BrokenConnection,
    /// The response is 202, but its body is not a receipt.
    InvalidReceipt,
}

/// One attempt to vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index of the choice in [`History::options`].
    pub choice: u8,
    /// Index of the voting service's URL.
    pub replica: u8,
    /// Time of sending, in milliseconds since the start of the run.
    pub sent_ms: u32,
    /// Time at which the outcome was known, in milliseconds since the start of the run.
    pub completed_ms: u32,
    /// Outcome of the attempt.
    pub outcome: Outcome,
}

/// Set of options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChoiceSet(u32);

impl ChoiceSet {
    /// Returns this set with one more option.
    #[must_use]
    pub fn with(self, choice: u8) -> Self {
        Self(self.0 | 1 << choice)
    }

    /// Returns true if the option is in the set.
    #[must_use]
    pub fn contains(self, choice: u8) -> bool {
        usize::from(choice) < MAX_OPTIONS && self.0 & 1 << choice != 0
    }

    /// Returns true if the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Accepted attempt of a voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Ballot id from the receipt.
    pub ballot: BallotId,
    /// Index of the choice.
    pub choice: u8,
}

/// Attempts of one voter, which are sequential: none was sent before the outcome of the previous one was known.
#[derive(Clone, Debug)]
pub struct VoterRecord {
    /// The voter's id in the poll.
    pub voter: VoterId,
    /// Number of attempts.
    pub attempts: u32,
    /// Newest accepted attempt.
    pub accepted: Option<Accepted>,
    /// Choices of all ambiguous attempts.
    pub ambiguous: ChoiceSet,
    /// Ballots of the first two successive accepted attempts whose ids do not increase, in the order of the attempts.
    pub out_of_order: Option<(BallotId, BallotId)>,
    /// First ballot of this voter that was accepted as another voter's.
    pub mismatched: Option<BallotId>,
    /// Last attempts, oldest first.
    pub recent: VecDeque<Attempt>,
}

impl VoterRecord {
    /// Creates the record of a voter without attempts.
    #[must_use]
    pub fn new(voter: VoterId) -> Self {
        Self {
            voter,
            attempts: 0,
            accepted: None,
            ambiguous: ChoiceSet::default(),
            out_of_order: None,
            mismatched: None,
            recent: VecDeque::new(),
        }
    }

    /// Adds the next attempt.
    pub fn add(&mut self, attempt: Attempt) {
        self.attempts += 1;
        if self.recent.len() == MAX_RECENT_ATTEMPTS {
            self.recent.pop_front();
        }
        self.recent.push_back(attempt);
        match attempt.outcome {
            Outcome::Accepted(ballot) => {
                if let Some(previous) = self.accepted
                    && ballot <= previous.ballot
                {
                    self.out_of_order.get_or_insert((previous.ballot, ballot));
                }
                let choice = attempt.choice;
                self.accepted = Some(Accepted { ballot, choice });
            }
            Outcome::Ambiguous(_) => self.ambiguous = self.ambiguous.with(attempt.choice),
            Outcome::VoterMismatch(ballot) => {
                self.mismatched.get_or_insert(ballot);
            }
            Outcome::Rejected(_) | Outcome::NotSent => {}
        }
    }

    /// Returns the choices that the stored vote may have, regardless of ballot ids.
    #[must_use]
    pub fn legal_choices(&self) -> ChoiceSet {
        self.accepted.map_or(self.ambiguous, |accepted| {
            self.ambiguous.with(accepted.choice)
        })
    }
}
