//! Polls that are recorded in the store.

use jiff::Timestamp;
use poll::{Poll, ResultsMode, Schedule};

/// A recorded poll with its number of votes.
#[derive(Clone, Debug)]
pub struct RecordedPoll {
    /// The poll.
    pub poll: Poll,
    /// Number of votes in it.
    pub votes: u64,
}

/// Query of both backends: the poll with this id, or all if the text is empty, oldest first.
pub(super) const SELECT_POLLS: &str = "
    SELECT id, question, options, opens_at_ms, closes_at_ms, results,
        (SELECT CAST(coalesce(sum(votes), 0) AS bigint) FROM tally WHERE poll = polls.id) AS votes
    FROM polls WHERE $1 IN ('', id) ORDER BY recorded_at, id";

/// Statement of both backends. The wording and the times of a poll may change, and the last ones are kept.
pub(super) const UPSERT_POLL: &str =
    "INSERT INTO polls (id, question, options, opens_at_ms, closes_at_ms, results) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (id) DO UPDATE
         SET question = excluded.question, options = excluded.options, opens_at_ms = excluded.opens_at_ms,
             closes_at_ms = excluded.closes_at_ms, results = excluded.results
         WHERE (polls.question, polls.options, coalesce(polls.opens_at_ms, 0), coalesce(polls.closes_at_ms, 0), polls.results)
             <> (excluded.question, excluded.options, coalesce(excluded.opens_at_ms, 0), coalesce(excluded.closes_at_ms, 0),
                 excluded.results)";

/// Row of both backends.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) question: String,
    pub(super) options: String,
    pub(super) opens_at_ms: Option<i64>,
    pub(super) closes_at_ms: Option<i64>,
    pub(super) results: String,
    votes: i64,
}

impl From<&Poll> for Row {
    fn from(poll: &Poll) -> Self {
        let schedule = &poll.schedule;
        Self {
            id: poll.id.to_string(),
            question: poll.question.clone(),
            options: poll.options.to_string(),
            opens_at_ms: schedule.opens_at().map(Timestamp::as_millisecond),
            closes_at_ms: schedule.closes_at().map(Timestamp::as_millisecond),
            results: schedule.results().name().to_owned(),
            votes: 0,
        }
    }
}

/// Converts rows. Rows with invalid values, which were written by hand, are left out.
pub(super) fn from_rows(rows: Vec<Row>) -> Vec<RecordedPoll> {
    rows.into_iter().filter_map(from_row).collect()
}

fn from_row(row: Row) -> Option<RecordedPoll> {
    let results = ResultsMode::from_name(&row.results)?;
    let time = |ms: Option<i64>| ms.map(Timestamp::from_millisecond).transpose().ok();
    let schedule = Schedule::new(time(row.opens_at_ms)?, time(row.closes_at_ms)?, results);
    let poll = Poll {
        id: row.id.parse().ok()?,
        question: row.question,
        options: row.options.parse().ok()?,
        schedule: schedule.ok()?,
    };
    Some(RecordedPoll {
        poll,
        votes: row.votes.unsigned_abs(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_is_read_as_it_was_recorded() {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        for (opens_at, closes_at, results) in [
            (None, None, ResultsMode::Live),
            (at(10), at(20), ResultsMode::AfterClose),
        ] {
            let poll = Poll {
                id: "pets".parse().unwrap(),
                question: "Which?".into(),
                options: r"a=Yes\, really,b=1+1=2".parse().unwrap(),
                schedule: Schedule::new(opens_at, closes_at, results).unwrap(),
            };
            let read = from_row(Row::from(&poll)).unwrap().poll;
            assert_eq!(
                (&read.id, &read.question, &read.options),
                (&poll.id, &poll.question, &poll.options)
            );
            let schedule = |poll: &Poll| {
                let schedule = &poll.schedule;
                (
                    schedule.opens_at(),
                    schedule.closes_at(),
                    schedule.results(),
                )
            };
            assert_eq!(schedule(&read), schedule(&poll));
        }
    }
}
