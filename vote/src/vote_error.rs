//! Reasons why a vote is not accepted.

use axum::http::StatusCode;
use jiff::Timestamp;
use poll::UnknownChoice;
use queue::QueueError;
use web::{Problem, ProblemKind, csrf::CsrfError};

/// Reason why a vote is not accepted. The messages are for clients of the API and, for malformed requests, on the page.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum VoteError {
    /// The request is malformed.
    #[error("The request cannot be read: {0}.")]
    Malformed(String),
    /// The content type is not supported.
    #[error("The content type must be {0}.")]
    ContentType(&'static str),
    /// The body exceeds the limit, in bytes.
    #[error("The request is too large; a vote fits into {0} bytes.")]
    TooLarge(usize),
    /// The key is not an option of this poll.
    #[error("The poll has no choice {:?}; the choices are: {}.", .0.key, .0.allowed)]
    UnknownChoice(#[from] UnknownChoice),
    /// The vote was sent from a page of another poll, or for another poll. The poll that is open now has this question.
    #[error("The vote is for another poll and was not counted. The question now is {0:?}.")]
    OtherPoll(String),
    /// The poll opens at this time.
    #[error("Voting begins at {0}.")]
    NotOpenYet(Timestamp),
    /// The poll closed at this time.
    #[error("Voting ended at {0}.")]
    Closed(Timestamp),
    /// The body did not arrive within the timeout.
    #[error("The request arrived too slowly. Please send it again.")]
    TooSlow,
    /// Too many votes, or too many new voters, from one address. A retry may succeed after this number of seconds.
    #[error("Too many votes came from your network. Please vote again in {0} s.")]
    RateLimited(u32),
    /// A page of another site sent the vote.
    #[error("The vote was sent from another site. Please vote on this page.")]
    CrossSite,
    /// The page that sent the vote may be ours, but the cookie that its token belongs to is missing.
    #[error(
        "The vote was sent without this page's cookie. Please allow cookies for this site and vote again."
    )]
    NoCookie,
    /// The concurrency limit is reached: more votes arrive than the queue stores.
    #[error("Too many votes are arriving, so yours was not stored. Please vote again in a moment.")]
    Overloaded,
    /// The enqueue timed out. The vote may be stored or not; a later vote replaces it in either case.
    #[error("We couldn't confirm your vote in time. Please vote again.")]
    Timeout,
    /// The queue is unreachable, or the connection was lost. The vote may be stored or not.
    #[error("We couldn't confirm your vote, because the queue is unreachable. Please vote again.")]
    Unavailable,
    /// The queue rejected the ballot.
    #[error("We couldn't store your vote. Please vote again in a moment.")]
    NotStored,
}

/// `Retry-After` of an outage, in seconds.
const RETRY_AFTER: u32 = 1;

impl VoteError {
    /// All problem kinds of this type.
    pub const KINDS: &[ProblemKind] = &[
        ProblemKind::MalformedRequest,
        ProblemKind::UnsupportedContentType,
        ProblemKind::RequestTooLarge,
        ProblemKind::RequestTooSlow,
        ProblemKind::UnknownChoice,
        ProblemKind::OtherPoll,
        ProblemKind::PollNotOpenYet,
        ProblemKind::PollClosed,
        ProblemKind::CrossSiteRequest,
        ProblemKind::RateLimited,
        ProblemKind::Overloaded,
        ProblemKind::QueueUnavailable,
    ];

    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind().status()
    }

    /// Returns the problem kind, one of [`Self::KINDS`].
    fn kind(&self) -> ProblemKind {
        match self {
            Self::Malformed(_) => ProblemKind::MalformedRequest,
            Self::ContentType(_) => ProblemKind::UnsupportedContentType,
            Self::TooLarge(_) => ProblemKind::RequestTooLarge,
            Self::UnknownChoice(_) => ProblemKind::UnknownChoice,
            Self::OtherPoll(_) => ProblemKind::OtherPoll,
            Self::NotOpenYet(_) => ProblemKind::PollNotOpenYet,
            Self::Closed(_) => ProblemKind::PollClosed,
            Self::TooSlow => ProblemKind::RequestTooSlow,
            Self::RateLimited(_) => ProblemKind::RateLimited,
            Self::CrossSite | Self::NoCookie => ProblemKind::CrossSiteRequest,
            Self::Overloaded => ProblemKind::Overloaded,
            Self::Timeout | Self::Unavailable | Self::NotStored => ProblemKind::QueueUnavailable,
        }
    }

    /// Returns true if the request itself is faulty. Our own page sends no such request, so the response has
    /// details for developers.
    pub(crate) fn is_client_error(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::ContentType(_) | Self::TooLarge(_) | Self::UnknownChoice(_)
        )
    }

    /// Returns true if the cause is the service, so that other votes fail with the same error at the same time.
    pub(crate) fn is_service_fault(&self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::Timeout | Self::Unavailable | Self::NotStored
        )
    }

    /// Returns true if the vote may be stored or not. The response must set the cookie, so that a retry has the same voter.
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable)
    }

    /// Returns the delay in seconds after which a retry may succeed; `None` if the same request fails again.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(*seconds),
            _ => self.is_service_fault().then_some(RETRY_AFTER),
        }
    }

    /// Returns the label `outcome` of the metrics.
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

impl From<CsrfError> for VoteError {
    fn from(error: CsrfError) -> Self {
        match error {
            CsrfError::CrossSite => Self::CrossSite,
            CsrfError::NoCookie => Self::NoCookie,
        }
    }
}

impl From<QueueError> for VoteError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Timeout(_) => Self::Timeout,
            QueueError::Unavailable(_) => Self::Unavailable,
            QueueError::Rejected(_) => Self::NotStored,
        }
    }
}

impl From<VoteError> for Problem {
    fn from(error: VoteError) -> Self {
        let problem = Self::new(error.kind(), error.to_string());
        match error.retry_after() {
            Some(seconds) => problem.retry_after(seconds),
            None => problem,
        }
    }
}
