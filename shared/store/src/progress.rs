//! Progress reports of the workers, stored in the store.

use std::time::Duration;

use jiff::Timestamp;

use super::REPORT_RETENTION;

/// Tolerance for two reads of the same clock.
const CLOCK_TOLERANCE_MS: i64 = 1000;

/// Progress that a worker reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerProgress {
    /// Worker's name, unique among all workers.
    pub worker: String,
    /// Time of the last stored batch; `None` if there was none since the start.
    pub last_batch_at: Option<Timestamp>,
    /// Age of the oldest ballot in the queue; zero if the queue is empty.
    pub oldest_ballot_age: Duration,
}

/// Stored progress report of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressReport {
    /// Time of the report by the store's clock.
    pub reported_at: Timestamp,
    /// Age of the report by the same clock.
    pub age: Duration,
    /// Age of the oldest ballot in the queue at that time; zero if the queue was empty.
    pub oldest_ballot_age: Duration,
}

/// Row of both backends, in milliseconds.
#[derive(sqlx::FromRow)]
#[expect(clippy::struct_field_names, reason = "they are the table's columns")]
pub(super) struct ProgressRow {
    reported_ms: i64,
    age_ms: i64,
    oldest_waits_ms: i64,
}

impl ProgressRow {
    fn report(&self) -> Option<ProgressReport> {
        let duration = |ms: i64| Duration::from_millis(ms.max(0).unsigned_abs());
        // Reported before the clock was set back: the age is unknown.
        let age = if self.age_ms < -CLOCK_TOLERANCE_MS {
            REPORT_RETENTION
        } else {
            duration(self.age_ms)
        };
        Some(ProgressReport {
            reported_at: Timestamp::from_millisecond(self.reported_ms).ok()?,
            age,
            oldest_ballot_age: duration(self.oldest_waits_ms),
        })
    }
}

pub(super) fn reports(rows: &[ProgressRow]) -> Vec<ProgressReport> {
    rows.iter().filter_map(ProgressRow::report).collect()
}

impl WorkerProgress {
    pub(super) fn last_batch_ms(&self) -> Option<i64> {
        self.last_batch_at.map(Timestamp::as_millisecond)
    }

    pub(super) fn oldest_ballot_age_ms(&self) -> i64 {
        i64::try_from(self.oldest_ballot_age.as_millis()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_from_before_the_clock_was_set_back_is_old() {
        let age = |age_ms| {
            let row = ProgressRow {
                reported_ms: 0,
                age_ms,
                oldest_waits_ms: 0,
            };
            row.report().unwrap().age
        };
        assert_eq!(age(1500), Duration::from_millis(1500));
        assert_eq!(age(-5), Duration::ZERO);
        assert_eq!(age(-7_200_000), REPORT_RETENTION);
    }
}
