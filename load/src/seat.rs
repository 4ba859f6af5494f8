//! One of the voters' connections: some voters take turns at it, each with one attempt at a time.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use poll::ballot::BallotId;
use rand::{RngExt, rngs::SmallRng};
use retry::Backoff;
use serde::Deserialize;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    cookie::Cookie,
    history::{Attempt, Doubt, Outcome, VoterRecord},
    http::{Answer, Failure, Line},
    latencies::Latencies,
    pace::Pace,
};

/// What all seats share.
pub struct Room {
    /// `{"choice": "a"}`, one for each option.
    pub bodies: Vec<Bytes>,
    /// When votes are due.
    pub pace: Pace,
    /// Whether a failure is followed by the next attempt when that is due, and not after a pause.
    pub open_loop: bool,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long the answers took.
    pub latencies: Mutex<Latencies>,
    /// Ends the run early.
    pub stop: CancellationToken,
}

/// A connection to each replica, and the voters who use it.
pub struct Seat {
    /// To every vote URL.
    pub lines: Vec<Line>,
    /// Chooses voter, choice and replica.
    pub random: SmallRng,
    /// Those who sit here. `None`: has no cookie yet.
    pub voters: Vec<Option<Voter>>,
}

/// Somebody with a cookie.
pub struct Voter {
    cookie: Cookie,
    record: VoterRecord,
}

impl Seat {
    /// Votes until the time is over, and returns what happened.
    pub async fn vote(mut self, room: &Room) -> Vec<VoterRecord> {
        let mut pause = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
        while !room.stop.is_cancelled() && !room.pace.is_over() {
            let place = self.random.random_range(0..self.voters.len());
            let replica = self.random.random_range(0..self.lines.len());
            let well = if let Some(voter) = self.voters[place].take() {
                let (voter, well) = self.attempt(room, voter, replica).await;
                self.voters[place] = Some(voter);
                well || room.open_loop
            } else {
                self.voters[place] = self.welcome(room, replica).await;
                self.voters[place].is_some()
            };
            if well {
                pause.reset();
            } else {
                let wait = sleep(pause.next_delay());
                room.stop.run_until_cancelled(wait).await;
            }
        }
        let records = self.voters.into_iter().flatten().map(|voter| voter.record);
        records.filter(|record| record.attempts > 0).collect()
    }

    /// A new voter's look at the page, which gives it its cookie: a first vote without one would, where its answer is
    /// lost, be the vote of nobody knows whom.
    async fn welcome(&mut self, room: &Room, replica: usize) -> Option<Voter> {
        let line = &mut self.lines[replica];
        let page = line.target().get("/");
        let answer = line.ask(page, Instant::now() + room.request_timeout).await;
        let answer = answer
            .ok()
            .filter(|answer| answer.status == StatusCode::OK)?;
        let cookie = Cookie::read(&answer.cookie?)?;
        let record = VoterRecord::new(cookie.voter());
        Some(Voter { cookie, record })
    }

    /// A voter's next vote, when it is due; and whether it went well.
    async fn attempt(&mut self, room: &Room, mut voter: Voter, replica: usize) -> (Voter, bool) {
        let Some(due) = room.pace.next() else {
            return (voter, true);
        };
        let waited = room.stop.run_until_cancelled(sleep_until(due)).await;
        if waited.is_none() {
            return (voter, true);
        }
        let choice = self.random.random_range(0..room.bodies.len());
        let line = &mut self.lines[replica];
        let mut request = line
            .target()
            .post("/api/votes", room.bodies[choice].clone());
        let cookie = HeaderValue::from_str(voter.cookie.pair()).expect("it came in a header");
        request.headers_mut().insert(header::COOKIE, cookie);
        let began = room.pace.began();
        let sent = Instant::now();
        let answer = line.ask(request, sent + room.request_timeout).await;
        let known = Instant::now();
        let outcome = judge(answer, &mut voter.cookie);
        // From the moment it was due: the wait for a connection is a voter's wait too.
        let took = known - due;
        room.latencies
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .add(outcome, took);
        voter.record.add(Attempt {
            choice: narrow(choice),
            replica: narrow(replica),
            sent_ms: milliseconds(sent - began),
            known_ms: milliseconds(known - began),
            outcome,
        });
        let well = !matches!(outcome, Outcome::Ambiguous(_) | Outcome::NotSent);
        (voter, well)
    }
}

/// What this answer says about the vote. The voter keeps the cookie that comes with it, if it is its own.
fn judge(answer: Result<Answer, Failure>, cookie: &mut Cookie) -> Outcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Failure::NotSent(_)) => return Outcome::NotSent,
        Err(Failure::Timeout) => return Outcome::Ambiguous(Doubt::Timeout),
        Err(Failure::Broken(_)) => return Outcome::Ambiguous(Doubt::Broken),
    };
    match answer.status {
        StatusCode::ACCEPTED => {
            let Some(ballot) = receipt(&answer.body) else {
                return Outcome::Ambiguous(Doubt::Receipt);
            };
            let new = answer.cookie.as_deref().and_then(Cookie::read);
            match new {
                Some(new) if new.voter() != cookie.voter() => Outcome::Estranged(ballot),
                Some(new) => {
                    *cookie = new;
                    Outcome::Accepted(ballot)
                }
                None => Outcome::Accepted(ballot),
            }
        }
        // The server gave up on the request, at whatever point it was.
        StatusCode::REQUEST_TIMEOUT => Outcome::Ambiguous(Doubt::Status(408)),
        status if status.is_client_error() => Outcome::Refused(status.as_u16()),
        status => Outcome::Ambiguous(Doubt::Status(status.as_u16())),
    }
}

fn receipt(body: &[u8]) -> Option<BallotId> {
    #[derive(Deserialize)]
    struct ReceiptDocument<'a> {
        ballot: &'a str,
    }
    let receipt: ReceiptDocument<'_> = serde_json::from_slice(body).ok()?;
    receipt.ballot.parse().ok()
}

/// Options and replicas are few: the settings see to that.
fn narrow(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::pair_of;
    use poll::ballot::VoterId;

    fn cookie(voter: VoterId, choice: &str) -> String {
        pair_of(voter, choice)
    }

    fn judged(status: u16, body: &str, set: Option<String>, voter: VoterId) -> (Outcome, Cookie) {
        let mut own = Cookie::read(&cookie(voter, "")).unwrap();
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            cookie: set,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        (judge(Ok(answer), &mut own), own)
    }

    #[test]
    fn a_receipt_is_an_accepted_vote_and_its_cookie_is_kept() {
        let voter = VoterId::random();
        let body = r#"{"ballot": "5-1", "choice": "a"}"#;
        let ballot = BallotId { ms: 5, seq: 1 };
        let (outcome, kept) = judged(202, body, Some(cookie(voter, "a")), voter);
        assert_eq!(outcome, Outcome::Accepted(ballot));
        assert_eq!(kept.pair(), cookie(voter, "a"));
        let somebody = Some(cookie(VoterId::random(), "a"));
        let (outcome, kept) = judged(202, body, somebody, voter);
        assert_eq!(outcome, Outcome::Estranged(ballot));
        assert_eq!(kept.voter(), voter, "it stays who it is");
    }

    #[test]
    fn only_4xx_is_a_sure_no() {
        let outcome = |status| judged(status, "", None, VoterId::random()).0;
        for status in [400, 409, 422, 429] {
            assert_eq!(outcome(status), Outcome::Refused(status));
        }
        for status in [200, 302, 408, 500, 502, 503, 504] {
            let doubt = Doubt::Status(status);
            assert_eq!(outcome(status), Outcome::Ambiguous(doubt));
        }
        assert_eq!(outcome(202), Outcome::Ambiguous(Doubt::Receipt));
    }
}
