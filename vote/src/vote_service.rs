//! Validates votes and enqueues them.

use std::sync::Arc;

use axum::http::HeaderMap;
use jiff::Timestamp;
use poll::{
    Phase, Poll,
    ballot::{Ballot, Choice, Traceparent, VoterId},
};
use retry::Throttle;
use web::{
    ClientAddress,
    csrf::{CsrfCheck, FormToken},
};

use crate::{
    enqueue::{EnqueueBatcher, Permit, Receipt},
    metrics::{Audience, VoteMetrics},
    rate_limit::RateLimits,
    vote_error::VoteError,
};

/// Validates votes and enqueues them.
pub struct VoteService {
    /// Poll that is voted on.
    pub poll: Arc<Poll>,
    /// Check against votes from other sites.
    pub csrf: CsrfCheck,
    /// One batcher for each shard of the queue. A slow shard affects its own voters only.
    pub shards: Arc<[EnqueueBatcher]>,
    /// Metrics of the service.
    pub metrics: VoteMetrics,
    /// Readers of the metrics.
    pub audience: Audience,
    /// Limits per client address.
    pub rates: RateLimits,
    /// Throttles of the log lines about failures.
    pub log: FailureLog,
}

/// Throttles of the log lines about failed votes, one for each kind.
#[derive(Debug, Default)]
pub struct FailureLog {
    shed: Throttle,
    enqueue: Throttle,
}

/// Origin of a vote.
#[derive(Clone, Copy, Debug)]
pub struct RequestOrigin<'a> {
    /// Voter who casts it.
    pub voter: VoterId,
    /// Address of the client.
    pub address: ClientAddress,
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// Outcome of checking the form's token.
    pub token: FormToken,
}

/// A vote as it was sent, not validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentVote<'a> {
    /// Id of the poll that the sender saw; `None`: the current poll.
    pub poll: Option<&'a str>,
    /// Key of the option.
    pub key: &'a str,
}

impl VoteService {
    /// Casts a vote. After it returns a receipt, the ballot is stored durably in the queue.
    ///
    /// # Errors
    /// The vote is not accepted. Check [`VoteError::is_ambiguous`]: after a failure of the queue it may be stored nevertheless.
    pub async fn cast(
        &self,
        origin: RequestOrigin<'_>,
        vote: Result<SentVote<'_>, VoteError>,
        traceparent: Option<Traceparent>,
    ) -> Result<Receipt, VoteError> {
        let choice = self.choice(origin, vote);
        let outcome = match &choice {
            Ok(choice) => self.enqueue(origin, choice.clone(), traceparent).await,
            Err(error) => Err(error.clone()),
        };
        self.metrics
            .count_vote(choice.as_ref().ok(), &outcome, self.audience);
        outcome
    }

    fn choice(
        &self,
        origin: RequestOrigin<'_>,
        vote: Result<SentVote<'_>, VoteError>,
    ) -> Result<Choice, VoteError> {
        self.csrf.check(origin.headers, origin.token)?;
        let vote = vote?;
        if vote.poll.is_some_and(|poll| poll != self.poll.id.as_str()) {
            return Err(VoteError::OtherPoll(self.poll.question.clone()));
        }
        Ok(self.poll.choice(vote.key)?)
    }

    async fn enqueue(
        &self,
        origin: RequestOrigin<'_>,
        choice: Choice,
        traceparent: Option<Traceparent>,
    ) -> Result<Receipt, VoteError> {
        self.check_open(self.poll.schedule.now())?;
        let voter = origin.voter.in_poll(&self.poll.id);
        let shard = &self.shards[voter.shard(self.shards.len())];
        let permit = self.acquire_permit(shard)?;
        self.rates.check(origin.address, origin.voter)?;
        let ballot = Ballot {
            poll: self.poll.id.clone(),
            voter,
            choice,
            traceparent,
        };
        let result = shard.enqueue(ballot, permit).await;
        if let Err(error) = &result.outcome
            && let Some(count) = self.log.enqueue.count_event()
        {
            tracing::warn!(%error, count, "votes could not be queued");
        }
        let outcome = result.outcome.map_err(VoteError::from);
        self.metrics
            .record_enqueue(&outcome, result.latency.as_secs_f64());
        outcome
    }

    fn check_open(&self, now: Timestamp) -> Result<(), VoteError> {
        let schedule = &self.poll.schedule;
        match schedule.phase(now) {
            Phase::Open => Ok(()),
            Phase::NotOpenYet => Err(VoteError::NotOpenYet(schedule.opens_at().unwrap_or(now))),
            Phase::Closed => Err(VoteError::Closed(schedule.closes_at().unwrap_or(now))),
        }
    }

    fn acquire_permit(&self, shard: &EnqueueBatcher) -> Result<Permit, VoteError> {
        shard.limit.try_acquire().ok_or_else(|| {
            self.metrics.vote_requests_shed_total.inc();
            if let Some(count) = self.log.shed.count_event() {
                let limit = shard.limit.limit();
                tracing::warn!(limit, count, "votes were shed: concurrency limit reached");
            }
            VoteError::Overloaded
        })
    }
}
