//! The timeline as returned by the API.

use std::collections::BTreeMap;

use jiff::Timestamp;
use poll::{PollId, ballot::Choice};
use serde::Serialize;
use utoipa::ToSchema;

/// The timeline of the stored votes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TimelineDocument {
    /// Id of the poll.
    pub poll: PollId,
    /// Length of a step, in seconds.
    #[schema(minimum = 10)]
    pub step_seconds: i64,
    /// The steps in which stored votes were cast, oldest first.
    #[schema(max_items = 48)]
    pub steps: Vec<Step>,
}

/// The stored votes that were cast in one step.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TimelineStep)]
pub struct Step {
    /// Start of the step.
    pub start: Timestamp,
    /// Votes by the options' keys.
    #[schema(value_type = BTreeMap<Choice, u64>)]
    pub votes: BTreeMap<String, u64>,
}
