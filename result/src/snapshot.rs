//! A snapshot of the tally, serialised and rendered once for all viewers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use gzip::Gzippable;
use jiff::Timestamp;
use poll::{Phase, Poll, PollId, ballot::Choice};
use queue::MAX_CLOCK_SKEW;
use serde::Serialize;
use store::Tally;
use utoipa::ToSchema;
use web::{PageCache, fingerprint};

use crate::{
    chart::Chart, counting::CountingDocument, page::PageKey, percent::largest_remainder_permille,
    timeline::Timeline,
};

/// A tally in all formats in which it is served, and the timeline.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The tally.
    pub document: TallyDocument,
    /// The tally as JSON.
    pub json: Gzippable,
    /// Hash of the tally, the same on every replica; used as the id of the event and as the entity tag.
    pub id: Arc<str>,
    /// The server-sent event with the tally.
    pub event: Bytes,
    /// Number of changes that this process has published, from 1.
    pub sequence: u64,
    /// The votes over time; `None` until they have been read once.
    pub timeline: Option<Arc<Timeline>>,
    /// The pages with this tally and this timeline, each rendered at the first request.
    pub pages: Arc<PageCache<PageKey>>,
}

/// The tally as returned by the API.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TallyDocument {
    /// Id of the poll.
    pub poll: PollId,
    /// The poll's question.
    pub question: String,
    /// The phase of the poll.
    pub phase: Phase,
    /// True if the votes for each option are visible.
    pub visible: bool,
    /// Time from which the votes for each option are visible; null if they already are.
    #[schema(required)]
    pub visible_at: Option<Timestamp>,
    /// Number of all votes.
    pub total: u64,
    /// The options, in the poll's order.
    pub options: Vec<OptionDocument>,
    /// Time at which the newest vote was cast, to the millisecond.
    #[schema(required)]
    pub last_vote_at: Option<Timestamp>,
    /// True if the last reads from the store failed.
    pub stale: bool,
    /// The delay of counting behind voting.
    pub counting: CountingDocument,
    /// Time at which the tally was read from the store, to the millisecond.
    pub as_of: Timestamp,
}

/// One option of the tally.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TallyOption)]
pub struct OptionDocument {
    /// Key of the option.
    pub key: Choice,
    /// Label that voters see.
    pub label: String,
    /// Number of votes; null while hidden.
    #[schema(required)]
    pub votes: Option<u64>,
    /// Percentage of all votes, with one decimal. The percentages add up to 100, or are 0 without votes; null while hidden.
    #[schema(required, minimum = 0, maximum = 100)]
    pub percent: Option<f64>,
}

impl Snapshot {
    /// The snapshot of a tally that was read at `as_of`, with the votes that are visible at `now`.
    #[must_use]
    pub fn new(
        poll: &Poll,
        tally: &Tally,
        as_of: Timestamp,
        stale: bool,
        counting: CountingDocument,
        now: Timestamp,
    ) -> Self {
        let visible = poll.schedule.results_visible(now);
        let votes: Vec<u64> = poll
            .options
            .iter()
            .map(|option| tally.votes(option.key.as_str()))
            .collect();
        let shares = largest_remainder_permille(&votes);
        let options =
            poll.options
                .iter()
                .zip(votes.iter().zip(&shares))
                .map(|(option, (votes, share))| OptionDocument {
                    key: option.key.clone(),
                    label: option.label.clone(),
                    votes: visible.then_some(*votes),
                    percent: visible.then_some(f64::from(*share) / 10.0),
                });
        let last_cast_ms = tally
            .0
            .iter()
            .map(|count| count.last_cast_ms)
            .max()
            .filter(|ms| *ms > 0);
        let document = TallyDocument {
            poll: poll.id.clone(),
            question: poll.question.clone(),
            phase: poll.schedule.phase(now),
            visible,
            visible_at: poll.schedule.closes_at().filter(|_| !visible),
            total: votes.iter().sum(),
            options: options.collect(),
            last_vote_at: last_cast_ms
                .and_then(|ms| Timestamp::from_millisecond(ms).ok())
                .filter(|at| !is_in_the_future(*at, as_of)),
            stale,
            counting,
            as_of: to_millisecond(as_of),
        };
        Self::serialise(document)
    }

    /// The votes over time as a chart; `None` without votes, and until they have been read once.
    #[must_use]
    pub fn chart(&self) -> Option<&Chart> {
        self.timeline.as_ref()?.chart.as_ref()
    }

    fn serialise(document: TallyDocument) -> Self {
        let id = hash(&document);
        let json = serde_json::to_vec(&document).expect("a tally is numbers and text");
        let mut event = format!("id: {id}\nevent: tally\ndata: ").into_bytes();
        event.extend_from_slice(&json);
        event.extend_from_slice(b"\n\n");
        Self {
            document,
            json: json.into(),
            id: id.into(),
            event: event.into(),
            sequence: 0,
            timeline: None,
            pages: Arc::default(),
        }
    }
}

/// Truncates a time to milliseconds. Finer digits would have no meaning.
fn to_millisecond(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// Hashes everything that a viewer sees change. The time of reading is excluded, because it changes with every read.
fn hash(document: &TallyDocument) -> String {
    let votes: Vec<_> = document
        .options
        .iter()
        .map(|option| (&option.key, &option.label, option.votes))
        .collect();
    let visible_state = (
        &document.poll,
        &document.question,
        document.phase,
        document.visible,
        document.total,
        votes,
        document.last_vote_at,
        document.stale,
        document.counting.behind_seconds,
    );
    fingerprint(serde_json::to_vec(&visible_state).expect("a tally is numbers and text"))
}

/// Returns true if the time of a vote is in the future, because the queue's clock was ahead.
pub fn is_in_the_future(cast_at: Timestamp, now: Timestamp) -> bool {
    // A time in the past gives a negative duration, which is not convertible.
    Duration::try_from(cast_at.duration_since(now)).is_ok_and(|ahead| ahead > MAX_CLOCK_SKEW)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use poll::{ResultsMode, Schedule};
    use store::OptionCount;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn poll(schedule: Schedule) -> Poll {
        Poll {
            id: "pets".parse().unwrap(),
            question: "Cats or Dogs?".into(),
            options: "a=Cats,b=Dogs".parse().unwrap(),
            schedule,
        }
    }

    fn tally(a: i64, b: i64) -> Tally {
        let count = |option: &str, votes| OptionCount {
            option: option.into(),
            votes,
            last_cast_ms: 5000,
        };
        Tally(vec![
            count("a", a),
            count("b", b),
            count("of-an-older-poll", 7),
        ])
    }

    /// A snapshot of a poll in which one option has these votes.
    pub fn snapshot_of_votes(votes: i64, as_of: Timestamp) -> Snapshot {
        snapshot(&poll(Schedule::always()), &tally(votes, 0), as_of, as_of)
    }

    fn snapshot(poll: &Poll, tally: &Tally, as_of: Timestamp, now: Timestamp) -> Snapshot {
        Snapshot::new(poll, tally, as_of, false, CountingDocument::default(), now)
    }

    #[test]
    fn the_tally_contains_the_options_of_this_poll() {
        let document = snapshot(&poll(Schedule::always()), &tally(2, 1), at(9), at(9)).document;
        assert_eq!((document.total, document.last_vote_at), (3, Some(at(5))));
        let options: Vec<_> = document
            .options
            .iter()
            .map(|option| (option.votes, option.percent))
            .collect();
        assert_eq!(options, [(Some(2), Some(66.7)), (Some(1), Some(33.3))]);
    }

    #[test]
    fn times_have_milliseconds() {
        let as_of = "2026-11-23T20:15:31.214987654Z".parse().unwrap();
        let snapshot = snapshot(&poll(Schedule::always()), &tally(2, 1), as_of, at(9));
        let json: serde_json::Value = serde_json::from_slice(&snapshot.json.plain()).unwrap();
        assert_eq!(json["as_of"], "2026-11-23T20:15:31.214Z");
    }

    #[test]
    fn no_format_of_the_snapshot_contains_hidden_results() {
        let schedule = Schedule::new(None, Some(at(20)), ResultsMode::AfterClose).unwrap();
        let hidden = snapshot(&poll(schedule.clone()), &tally(2001, 1000), at(9), at(19));
        for format in [hidden.json.plain(), hidden.event] {
            let text = std::str::from_utf8(&format).unwrap();
            assert!(!text.contains("2001") && !text.contains("66.7"), "{text}");
        }
        assert_eq!(
            (hidden.document.total, hidden.document.visible_at),
            (3001, Some(at(20)))
        );
        let shown = snapshot(&poll(schedule), &tally(2001, 1000), at(9), at(20));
        assert_eq!(shown.document.options[0].votes, Some(2001));
        assert_ne!(hidden.id, shown.id);
    }

    #[test]
    fn the_id_changes_only_with_visible_content() {
        let poll = poll(Schedule::always());
        let id_of = |tally: &Tally, as_of, stale, behind_seconds| {
            let counting = CountingDocument {
                behind_seconds,
                reported_at: Some(as_of),
            };
            Snapshot::new(&poll, tally, as_of, stale, counting, as_of).id
        };
        let id = id_of(&tally(2, 1), at(9), false, 0);
        assert_eq!(id, id_of(&tally(2, 1), at(10), false, 0));
        assert_ne!(id, id_of(&tally(1, 2), at(9), false, 0));
        assert_ne!(id, id_of(&tally(2, 1), at(9), true, 0));
        assert_ne!(id, id_of(&tally(2, 1), at(9), false, 5));
    }
}
