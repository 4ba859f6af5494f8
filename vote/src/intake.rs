//! The one door through which votes come in.

use std::sync::Arc;

use jiff::Timestamp;
use poll::{
    Phase, Poll, ResultsMode,
    ballot::{Ballot, Choice, Traceparent, VoterId},
};
use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};
use retry::Throttle;
use telemetry::metrics::LATENCY_SECONDS;
use web::{ClientAddress, Rejection};

use crate::{
    line::{Line, Receipt},
    rate_limit::RateLimits,
    refusal::Refusal,
};

telemetry::metrics! {
    /// What the voting service counts.
    pub struct VoteMetrics {
        /// Votes that came in, by the option's key (none: not an option; hidden: any option, as long as results are hidden and everybody may read this) and what became of them.
        pub vote_submissions_total: IntCounterVec["choice", "outcome"],
        /// Seconds that the queue took to keep a ballot, or to fail.
        pub vote_enqueue_duration_seconds: HistogramVec["outcome"] => LATENCY_SECONDS,
        /// Votes that may be on their way into the queue at once, into all its shards. It shrinks while the queue keeps them too slowly.
        pub vote_admission_limit: IntGauge,
        /// Votes refused because as many were on their way as the queue keeps in time.
        pub vote_requests_shed_total: IntCounter,
        /// 1 while the queue's server is set up to keep accepted votes through a crash, or QUEUE_DURABILITY says that a service does; 0 while it is not or cannot be asked.
        pub queue_durable: IntGauge,
    }
}

const NO_CHOICE: &str = "none";
/// The label of all choices where whoever reads the metrics may not know the result.
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
/// The outcomes of votes that a limit on connections refused before they were read.
const ALL_CONNECTIONS: &str = "connection_limit";
const CONNECTIONS_OF_ADDRESS: &str = "address_limit";

impl VoteMetrics {
    /// The metrics, with everything that can be counted at 0.
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
        for outcome in [ALL_CONNECTIONS, CONNECTIONS_OF_ADDRESS] {
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

    /// Counts a vote that a limit on connections refused.
    pub(crate) fn count_refused(&self, by: Rejection) {
        let outcome = match by {
            Rejection::Full => ALL_CONNECTIONS,
            Rejection::PerAddress(_) => CONNECTIONS_OF_ADDRESS,
        };
        self.vote_submissions_total
            .with_label_values(&[NO_CHOICE, outcome])
            .inc();
    }

    /// Says how many votes may be under way now.
    pub(crate) fn note_limit(&self, lines: &[Line]) {
        let limits = lines.iter().map(|line| line.admission.limit());
        let limit = limits.sum::<usize>();
        self.vote_admission_limit
            .set(i64::try_from(limit).unwrap_or(i64::MAX));
    }
}

/// The readers of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Those who may know the result.
    Trusted,
    /// Everybody, while results are hidden.
    Public,
}

impl Audience {
    /// The readers of metrics that are, or are not, at a listener of their own.
    pub fn of(poll: &Poll, has_management: bool) -> Self {
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

/// Takes votes in. Cloning is cheap.
#[derive(Clone)]
pub struct Intake {
    /// What can be voted for, and when.
    pub poll: Arc<Poll>,
    /// Where votes go, one for each shard: a slow one sends nobody away but its own voters.
    pub lines: Arc<[Line]>,
    /// What is counted.
    pub metrics: VoteMetrics,
    /// The readers of what is counted.
    pub audience: Audience,
    /// How often somebody may vote.
    pub rates: RateLimits,
    /// Limits how often failures are logged.
    pub log: Arc<FailureLog>,
}

/// Limits how often the failures of votes are logged, each kind by itself.
#[derive(Debug, Default)]
pub struct FailureLog {
    shed: Throttle,
    enqueue: Throttle,
}

/// Whose vote it is.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Who it is.
    pub voter: VoterId,
    /// Where the vote comes from.
    pub address: ClientAddress,
}

impl Intake {
    /// Takes a vote in. When this returns a receipt, the queue has the ballot durably.
    ///
    /// # Errors
    /// The vote does not count; or, when the queue failed, nobody can tell.
    pub async fn cast(
        &self,
        sender: Sender,
        key: Result<&str, Refusal>,
        traceparent: Option<Traceparent>,
    ) -> Result<Receipt, Refusal> {
        let choice = key.and_then(|key| Ok(self.poll.choice(key)?));
        let outcome = match &choice {
            Ok(choice) => self.enqueue(sender, choice.clone(), traceparent).await,
            Err(refusal) => Err(refusal.clone()),
        };
        let label = choice
            .as_ref()
            .map_or(NO_CHOICE, |choice| self.audience.label(choice));
        let outcome_label = outcome
            .as_ref()
            .map_or_else(Refusal::outcome, |_| "accepted");
        self.metrics
            .vote_submissions_total
            .with_label_values(&[label, outcome_label])
            .inc();
        outcome
    }

    async fn enqueue(
        &self,
        sender: Sender,
        choice: Choice,
        traceparent: Option<Traceparent>,
    ) -> Result<Receipt, Refusal> {
        self.check_open(self.poll.schedule.now())?;
        let line = &self.lines[sender.voter.shard(self.lines.len())];
        let admitted = line.admission.admit().ok_or_else(|| {
            self.metrics.vote_requests_shed_total.inc();
            if let Some(count) = self.log.shed.count_event() {
                let limit = line.admission.limit();
                tracing::warn!(
                    limit,
                    count,
                    "votes were shed: as many are on their way as the queue keeps in time"
                );
            }
            Refusal::Overloaded
        })?;
        self.rates.check(sender.address, sender.voter)?;
        let ballot = Ballot {
            voter: sender.voter,
            choice,
            traceparent,
        };
        let kept = line.keep(ballot, admitted).await;
        if let Err(error) = &kept.outcome
            && let Some(count) = self.log.enqueue.count_event()
        {
            tracing::warn!(%error, count, "votes could not be queued");
        }
        let outcome = kept.outcome.map_err(Refusal::from);
        let label = outcome
            .as_ref()
            .map_or_else(Refusal::outcome, |_| "accepted");
        self.metrics
            .vote_enqueue_duration_seconds
            .with_label_values(&[label])
            .observe(kept.took.as_secs_f64());
        outcome
    }

    fn check_open(&self, now: Timestamp) -> Result<(), Refusal> {
        let schedule = &self.poll.schedule;
        match schedule.phase(now) {
            Phase::Open => Ok(()),
            Phase::NotOpenYet => Err(Refusal::NotOpenYet(schedule.opens_at().unwrap_or(now))),
            Phase::Closed => Err(Refusal::Closed(schedule.closes_at().unwrap_or(now))),
        }
    }
}
