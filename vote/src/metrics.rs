//! Metrics of the voting service.

use poll::{Poll, ResultsMode, ballot::Choice};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};
use telemetry::metrics::LATENCY_SECONDS;
use web::Rejection;

use crate::{enqueue::EnqueueBatcher, vote_error::VoteError};

telemetry::metrics! {
    /// Metrics of the voting service.
    pub struct VoteMetrics {
        /// Votes received, by the option's key (none: not an option; hidden: any option, while results are hidden and the metrics are public) and by outcome.
        pub vote_submissions_total: IntCounterVec["choice", "outcome"],
        /// Duration of one enqueue in seconds, until the queue stored the ballot or failed.
        pub vote_enqueue_duration_seconds: HistogramVec["outcome"] => LATENCY_SECONDS,
        /// Limit of the votes that are being enqueued at once, over all shards. It decreases while the queue is too slow.
        pub vote_admission_limit: IntGauge,
        /// Votes rejected because the concurrency limit was reached.
        pub vote_requests_shed_total: IntCounter,
        /// 1 while the queue's server is configured to keep accepted votes through a crash, or QUEUE_DURABILITY declares it managed; 0 while it is not or its configuration cannot be read.
        pub queue_durable: IntGauge,
    }
}

const NO_CHOICE: &str = "none";
/// Label of all choices if readers of the metrics may not know the result.
const HIDDEN_CHOICE: &str = "hidden";
const ENQUEUE_OUTCOMES: [&str; 3] = ["accepted", "error", "timeout"];
const OUTCOMES: [&str; 6] = [
    "accepted",
    "rejected",
    "error",
    "timeout",
    "rate_limited",
    "shed",
];
/// Outcomes of votes that a connection limit rejected before they were read.
const CONNECTION_LIMIT: &str = "connection_limit";
const ADDRESS_LIMIT: &str = "address_limit";

impl VoteMetrics {
    /// Creates the metrics, with every combination of labels at 0.
    #[must_use]
    pub fn for_poll(registry: &Registry, poll: &Poll, audience: Audience) -> Self {
        let metrics = Self::new(registry);
        let keys = poll
            .options
            .iter()
            .map(|option| audience.label(&option.key));
        for choice in keys.chain([NO_CHOICE]) {
            for outcome in OUTCOMES {
                metrics
                    .vote_submissions_total
                    .with_label_values(&[choice, outcome]);
            }
        }
        for outcome in [CONNECTION_LIMIT, ADDRESS_LIMIT] {
            metrics
                .vote_submissions_total
                .with_label_values(&[NO_CHOICE, outcome]);
        }
        for outcome in ENQUEUE_OUTCOMES {
            metrics
                .vote_enqueue_duration_seconds
                .with_label_values(&[outcome]);
        }
        metrics
    }

    /// Counts a vote by its choice, if it has one, and its outcome.
    pub(crate) fn count_vote<T>(
        &self,
        choice: Option<&Choice>,
        outcome: &Result<T, VoteError>,
        audience: Audience,
    ) {
        let choice = choice.map_or(NO_CHOICE, |choice| audience.label(choice));
        self.vote_submissions_total
            .with_label_values(&[choice, outcome_label(outcome)])
            .inc();
    }

    /// Records the duration of an enqueue, in seconds.
    pub(crate) fn record_enqueue<T>(&self, outcome: &Result<T, VoteError>, seconds: f64) {
        self.vote_enqueue_duration_seconds
            .with_label_values(&[outcome_label(outcome)])
            .observe(seconds);
    }

    /// Counts a vote that a connection limit rejected.
    pub(crate) fn count_rejected(&self, by: Rejection) {
        let outcome = match by {
            Rejection::Full => CONNECTION_LIMIT,
            Rejection::PerAddress(_) => ADDRESS_LIMIT,
        };
        self.vote_submissions_total
            .with_label_values(&[NO_CHOICE, outcome])
            .inc();
    }

    /// Sets the gauge of the concurrency limit to the sum over all shards.
    pub(crate) fn update_limit_gauge(&self, shards: &[EnqueueBatcher]) {
        let limits = shards.iter().map(|shard| shard.limit.limit());
        let limit = limits.sum::<usize>();
        self.vote_admission_limit
            .set(i64::try_from(limit).unwrap_or(i64::MAX));
    }
}

fn outcome_label<T>(outcome: &Result<T, VoteError>) -> &'static str {
    outcome
        .as_ref()
        .map_or_else(VoteError::outcome, |_| "accepted")
}

/// Readers of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Readers who may know the result.
    Trusted,
    /// The public, which may not know the result yet.
    Public,
}

impl Audience {
    /// Returns the audience of this poll's metrics. Metrics on the management port are for trusted readers only.
    pub(crate) fn for_poll(poll: &Poll, has_management: bool) -> Self {
        match poll.schedule.results() {
            ResultsMode::AfterClose if !has_management => Self::Public,
            _ => Self::Trusted,
        }
    }

    fn label(self, choice: &Choice) -> &str {
        match self {
            Self::Trusted => choice.as_str(),
            Self::Public => HIDDEN_CHOICE,
        }
    }
}
