//! Virtual users: each casts the votes of some voters over its own connections, one attempt at a time.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use poll::{PollId, ballot::BallotId};
use rand::{RngExt, rngs::SmallRng};
use retry::Backoff;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    cookie::Cookie,
    history::{AmbiguityReason, Attempt, Outcome, VoterRecord},
    http_client::{HttpClient, RequestError, Response},
    latencies::Latencies,
    schedule::Schedule,
};

/// State that all virtual users share.
pub struct SharedContext {
    /// Id of the poll.
    pub poll: PollId,
    /// Request body for each option, such as `{"choice": "a", "poll": "pets"}`.
    pub bodies: Vec<Bytes>,
    /// Due times of the votes.
    pub schedule: Schedule,
    /// True if votes are sent at a fixed rate, without a backoff after failures.
    pub open_loop: bool,
    /// Timeout of one request.
    pub request_timeout: Duration,
    /// Latencies of all attempts.
    pub latencies: Mutex<Latencies>,
    /// Ends the run early.
    pub stop: CancellationToken,
}

/// A client of each replica, and the voters who use it.
pub struct VirtualUser {
    /// One client for each replica.
    pub clients: Vec<HttpClient>,
    /// Generator of voter, choice and replica.
    pub random: SmallRng,
    /// The voters; `None`: without a cookie yet.
    pub voters: Vec<Option<Voter>>,
}

/// A voter with a cookie.
pub struct Voter {
    cookie: Cookie,
    record: VoterRecord,
}

impl VirtualUser {
    /// Votes until the schedule is finished and returns the records of the voters with at least one attempt.
    pub async fn run(mut self, context: &SharedContext) -> Vec<VoterRecord> {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
        while !context.stop.is_cancelled() && !context.schedule.is_finished() {
            let index = self.random.random_range(0..self.voters.len());
            let replica = self.random.random_range(0..self.clients.len());
            let succeeded = if let Some(voter) = self.voters[index].take() {
                let (voter, succeeded) = self.attempt(context, voter, replica).await;
                self.voters[index] = Some(voter);
                succeeded || context.open_loop
            } else {
                self.voters[index] = self.obtain_cookie(context, replica).await;
                self.voters[index].is_some()
            };
            if succeeded {
                backoff.reset();
            } else {
                let wait = sleep(backoff.next_delay());
                context.stop.run_until_cancelled(wait).await;
            }
        }
        let records = self.voters.into_iter().flatten().map(|voter| voter.record);
        records.filter(|record| record.attempts > 0).collect()
    }

    /// Requests the voting page for a new voter, to obtain its cookie. Without a cookie, a first vote whose response is
    /// lost could not be attributed to a voter.
    async fn obtain_cookie(&mut self, context: &SharedContext, replica: usize) -> Option<Voter> {
        let client = &mut self.clients[replica];
        let request = client.target().get("/");
        let deadline = Instant::now() + context.request_timeout;
        let response = client.send(request, deadline).await;
        let response = response
            .ok()
            .filter(|response| response.status == StatusCode::OK)?;
        let cookie = Cookie::parse(&response.cookie?)?;
        let record = VoterRecord::new(cookie.voter().in_poll(&context.poll));
        Some(Voter { cookie, record })
    }

    /// Casts a voter's next vote when it is due. Returns the voter, and false if the attempt failed without a response that
    /// accepts or rejects it.
    async fn attempt(
        &mut self,
        context: &SharedContext,
        mut voter: Voter,
        replica: usize,
    ) -> (Voter, bool) {
        let Some(due) = context.schedule.next_due() else {
            return (voter, true);
        };
        let waited = context.stop.run_until_cancelled(sleep_until(due)).await;
        if waited.is_none() {
            return (voter, true);
        }
        let choice = self.random.random_range(0..context.bodies.len());
        let client = &mut self.clients[replica];
        let mut request = client
            .target()
            .post("/api/votes", context.bodies[choice].clone());
        let cookie =
            HeaderValue::from_str(voter.cookie.pair()).expect("it was received in a header");
        request.headers_mut().insert(header::COOKIE, cookie);
        let started_at = context.schedule.started_at();
        let sent_at = Instant::now();
        let response = client
            .send(request, sent_at + context.request_timeout)
            .await;
        let completed_at = Instant::now();
        let outcome = classify(response, &mut voter.cookie);
        // Measured from the due time: the latency includes the wait for a connection.
        let latency = completed_at - due;
        context
            .latencies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .record(outcome, latency);
        voter.record.add(Attempt {
            choice: to_u8(choice),
            replica: to_u8(replica),
            sent_ms: to_milliseconds(sent_at - started_at),
            completed_ms: to_milliseconds(completed_at - started_at),
            outcome,
        });
        let succeeded = !matches!(outcome, Outcome::Ambiguous(_) | Outcome::NotSent);
        (voter, succeeded)
    }
}

/// Derives the outcome of an attempt from its response, and replaces the voter's cookie if the response has a new one for
/// the same voter.
fn classify(response: Result<Response, RequestError>, cookie: &mut Cookie) -> Outcome {
    let response = match response {
        Ok(response) => response,
        Err(RequestError::NotSent(_)) => return Outcome::NotSent,
        Err(RequestError::Timeout) => return Outcome::Ambiguous(AmbiguityReason::Timeout),
        Err(RequestError::Broken(_)) => {
            return Outcome::Ambiguous(AmbiguityReason::BrokenConnection);
        }
    };
    match response.status {
        StatusCode::ACCEPTED => {
            let Some(ballot) = parse_receipt(&response.body) else {
                return Outcome::Ambiguous(AmbiguityReason::InvalidReceipt);
            };
            let new = response.cookie.as_deref().and_then(Cookie::parse);
            match new {
                Some(new) if new.voter() != cookie.voter() => Outcome::VoterMismatch(ballot),
                Some(new) => {
                    *cookie = new;
                    Outcome::Accepted(ballot)
                }
                None => Outcome::Accepted(ballot),
            }
        }
        // The server timed out at an unknown stage of the request.
        StatusCode::REQUEST_TIMEOUT => Outcome::Ambiguous(AmbiguityReason::Status(408)),
        status if status.is_client_error() => Outcome::Rejected(status.as_u16()),
        status => Outcome::Ambiguous(AmbiguityReason::Status(status.as_u16())),
    }
}

fn parse_receipt(body: &[u8]) -> Option<BallotId> {
    #[derive(Deserialize)]
    struct ReceiptDocument<'a> {
        ballot: &'a str,
    }
    let receipt: ReceiptDocument<'_> = serde_json::from_slice(body).ok()?;
    receipt.ballot.parse().ok()
}

/// Converts an index of an option or a replica; settings and poll limit both to 255.
fn to_u8(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

fn to_milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::cookie_pair;
    use poll::ballot::VoterId;

    fn classified(
        status: u16,
        body: &str,
        set_cookie: Option<String>,
        voter: VoterId,
    ) -> (Outcome, Cookie) {
        let mut cookie = Cookie::parse(&cookie_pair(voter, "")).unwrap();
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            cookie: set_cookie,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        (classify(Ok(response), &mut cookie), cookie)
    }

    #[test]
    fn a_receipt_is_an_accepted_vote_and_its_cookie_is_stored() {
        let voter = VoterId::random();
        let body = r#"{"ballot": "5-1", "choice": "a"}"#;
        let ballot = BallotId { ms: 5, seq: 1 };
        let (outcome, cookie) = classified(202, body, Some(cookie_pair(voter, "a")), voter);
        assert_eq!(outcome, Outcome::Accepted(ballot));
        assert_eq!(cookie.pair(), cookie_pair(voter, "a"));
        let other_voter = Some(cookie_pair(VoterId::random(), "a"));
        let (outcome, cookie) = classified(202, body, other_voter, voter);
        assert_eq!(outcome, Outcome::VoterMismatch(ballot));
        assert_eq!(cookie.voter(), voter, "the cookie is not replaced");
    }

    #[test]
    fn only_4xx_is_a_certain_rejection() {
        let outcome = |status| classified(status, "", None, VoterId::random()).0;
        for status in [400, 409, 422, 429] {
            assert_eq!(outcome(status), Outcome::Rejected(status));
        }
        for status in [200, 302, 408, 500, 502, 503, 504] {
            let reason = AmbiguityReason::Status(status);
            assert_eq!(outcome(status), Outcome::Ambiguous(reason));
        }
        let reason = AmbiguityReason::InvalidReceipt;
        assert_eq!(outcome(202), Outcome::Ambiguous(reason));
    }
}
