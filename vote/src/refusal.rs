//! Why a vote is not accepted, in words for the voter.

use axum::http::StatusCode;
use jiff::Timestamp;
use poll::UnknownChoice;
use queue::QueueError;
use web::{Problem, ProblemKind};

/// A vote that is not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The request cannot be read.
    #[error("The request cannot be read: {0}.")]
    Malformed(String),
    /// The request says that it is something else.
    #[error("The content type must be {0}.")]
    ContentType(&'static str),
    /// More than a vote can need.
    #[error("The request is too large; a vote fits into {0} bytes.")]
    TooLarge(usize),
    /// Not an option of this poll.
    #[error("The poll has no choice {:?}; the choices are: {}.", .0.key, .0.allowed)]
    UnknownChoice(#[from] UnknownChoice),
    /// Too early.
    #[error("Voting begins at {0}.")]
    NotOpenYet(Timestamp),
    /// Too late.
    #[error("Voting ended at {0}.")]
    Closed(Timestamp),
    /// The body took too long to come.
    #[error("The request came too slowly. Please send it again.")]
    TooSlow,
    /// Too many votes, or too many new voters, from one address. It may try again after so many seconds.
    #[error("Too many votes come from your network. Please vote again in {0} s.")]
    RateLimited(u32),
    /// Sent by a page of somebody else's.
    #[error("The vote was sent from another site; please vote here.")]
    CrossSite,
    /// Sent by a page that may be ours, without the cookie that would prove it.
    #[error(
        "The vote came without this page's cookie, so it may be from another site; please allow cookies here."
    )]
    NoCookie,
    /// More votes come in than the queue keeps.
    #[error(
        "Too many votes are coming in, so yours was not stored. Please vote again in a moment."
    )]
    Overloaded,
    /// Nobody knows whether the queue has it. A later vote replaces it in either case.
    #[error("We couldn't confirm your vote in time. Please vote again.")]
    Timeout,
    /// The queue cannot be reached, or went away: nobody knows whether it has it.
    #[error("We couldn't confirm your vote, because the queue is unreachable. Please vote again.")]
    Unavailable,
    /// The queue refused it.
    #[error("We couldn't store your vote. Please vote again in a moment.")]
    NotStored,
}

/// How soon a voter may try again after an outage, in seconds.
const RETRY_AFTER: u32 = 1;

impl Refusal {
    /// Every kind of problem a refusal can be.
    pub const KINDS: &[ProblemKind] = &[
        ProblemKind::MalformedRequest,
        ProblemKind::UnsupportedContentType,
        ProblemKind::RequestTooLarge,
        ProblemKind::RequestTooSlow,
        ProblemKind::UnknownChoice,
        ProblemKind::PollNotOpenYet,
        ProblemKind::PollClosed,
        ProblemKind::CrossSiteRequest,
        ProblemKind::RateLimited,
        ProblemKind::Overloaded,
        ProblemKind::QueueUnavailable,
    ];

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind().status()
    }

    /// What it is to programs; one of [`Self::KINDS`].
    fn kind(&self) -> ProblemKind {
        match self {
            Self::Malformed(_) => ProblemKind::MalformedRequest,
            Self::ContentType(_) => ProblemKind::UnsupportedContentType,
            Self::TooLarge(_) => ProblemKind::RequestTooLarge,
            Self::UnknownChoice(_) => ProblemKind::UnknownChoice,
            Self::NotOpenYet(_) => ProblemKind::PollNotOpenYet,
            Self::Closed(_) => ProblemKind::PollClosed,
            Self::TooSlow => ProblemKind::RequestTooSlow,
            Self::RateLimited(_) => ProblemKind::RateLimited,
            Self::CrossSite | Self::NoCookie => ProblemKind::CrossSiteRequest,
            Self::Overloaded => ProblemKind::Overloaded,
            Self::Timeout | Self::Unavailable | Self::NotStored => ProblemKind::QueueUnavailable,
        }
    }

    /// Whether the request itself is at fault: our own page does not send such a one, a program has to be told more.
    pub(crate) fn is_of_the_request(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::ContentType(_) | Self::TooLarge(_) | Self::UnknownChoice(_)
        )
    }

    /// Whether it is no fault of this vote, so that others are told the same at the same time.
    pub(crate) fn is_everybodys(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::Timeout | Self::Unavailable | Self::NotStored
        )
    }

    /// Returns true if the vote may be stored or not. Its voter must be recognised when it is sent again.
    pub(crate) fn is_uncertain(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable)
    }

    /// When to try again, in seconds; `None`: trying again as it is would not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(*seconds),
            _ => self.is_everybodys().then_some(RETRY_AFTER),
        }
    }

    /// The label of the metric.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Overloaded => "shed",
            Self::Unavailable | Self::NotStored => "error",
            Self::RateLimited(_) => "rate_limited",
            _ => "rejected",
        }
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Timeout(_) => Self::Timeout,
            QueueError::Unavailable(_) => Self::Unavailable,
            QueueError::Rejected(_) => Self::NotStored,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.kind(), refusal.to_string());
        match refusal.retry_after() {
            Some(seconds) => problem.retry_after(seconds),
            None => problem,
        }
    }
}
