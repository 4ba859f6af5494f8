//! Keys of rendered pages that several voters share.

use std::mem::Discriminant;

use jiff::Timestamp;
use poll::{Phase, Poll};

use crate::vote_error::VoteError;

/// Key of a page that is the same for several voters.
#[derive(PartialEq, Eq, Hash)]
pub struct PageKey {
    /// Index of the option that the voters last voted for.
    pub last_choice: Option<usize>,
    /// Notice on the page.
    pub notice: NoticeKind,
}

/// Kind of a notice that several voters get.
#[derive(PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// A hint for the phase of the poll.
    Hint,
    /// The vote was accepted.
    Accepted,
    /// The vote was accepted, but the browser does not keep our cookie.
    CookieNotKept,
    /// The vote was rejected.
    Rejected(Discriminant<VoteError>),
}

/// Version of a cached page. It changes with the poll's phase and with the time until the next phase.
#[derive(PartialEq)]
pub struct CacheVersion {
    phase: Phase,
    /// Current time in tenths of a second, if another phase follows. The page contains the time until then.
    tenth_of_a_second: Option<i64>,
}

impl CacheVersion {
    /// Returns the version of the pages at this time.
    pub fn at(now: Timestamp, poll: &Poll) -> Self {
        let changes = poll.schedule.next_change(now).is_some();
        Self {
            phase: poll.schedule.phase(now),
            tenth_of_a_second: changes.then(|| now.as_millisecond() / 100),
        }
    }
}
