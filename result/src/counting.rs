//! The delay of counting behind voting, from what the workers report in the store.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use store::{ProgressReport, Store};
use utoipa::ToSchema;

/// The interval at which reports are read: workers report every 2 seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The age of its last report from which a worker is silent. Three reports are missing then.
const SILENT_AFTER: Duration = Duration::from_secs(6);
/// The delays that are shown, in seconds. Each step is sent to every viewer, so there are few. In normal operation ballots
/// wait for less than the first.
const STEPS: [u64; 15] = [
    5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 86_400,
];

/// The delay of counting behind voting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Counting)]
pub struct CountingDocument {
    /// For how many seconds, at least, votes have been waiting to be counted, or no worker has reported: 0 while counting
    /// keeps up, else one of 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800 and 86400.
    pub behind_seconds: u64,
    /// The time of the last report of a worker; null if there was none.
    #[schema(required)]
    pub reported_at: Option<Timestamp>,
}

impl CountingDocument {
    /// Returns true if votes have been waiting to be counted for longer than usual.
    #[must_use]
    pub fn is_behind(self) -> bool {
        self.behind_seconds > 0
    }
}

/// The reports of the workers, as last read.
pub struct Counting {
    started: Instant,
    looked_at: Option<Instant>,
    reports: Vec<ProgressReport>,
    can_read: bool,
}

impl Counting {
    /// Reports that have not been read yet.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            looked_at: None,
            reports: Vec::new(),
            can_read: true,
        }
    }

    /// Reads the reports, unless that was done a moment ago.
    pub async fn look_when_due(&mut self, store: &Store) {
        if self.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        let read = store.progress().await;
        let could_read = std::mem::replace(&mut self.can_read, read.is_ok());
        match read {
            Ok(reports) => (self.reports, self.looked_at) = (reports, Some(Instant::now())),
            // The tally can be read, so it is this table that cannot: a right is missing, most likely.
            Err(error) if could_read => {
                tracing::warn!(%error, "what the workers report cannot be read; the result does not say when counting is behind");
            }
            Err(_) => {}
        }
    }

    /// The delay as viewers see it.
    pub fn document(&self) -> CountingDocument {
        let since_look = self.looked_at.map_or(Duration::ZERO, |at| at.elapsed());
        let waits = if self.can_read {
            oldest_waits(&self.reports, since_look, self.started.elapsed())
        } else {
            Duration::ZERO
        };
        let newest = self.reports.iter().map(|report| report.reported_at).max();
        CountingDocument {
            behind_seconds: step_of(waits),
            reported_at: newest,
        }
    }
}

/// The time for which the oldest vote has been waiting, or may have been. All workers see the same queue, so the smallest of
/// their reports is used.
///
/// `running` is how long this service has been: after a start of everything no worker has had the time to report yet.
fn oldest_waits(reports: &[ProgressReport], since_look: Duration, running: Duration) -> Duration {
    let may_be_silent = running <= SILENT_AFTER;
    let waits = |report: &ProgressReport| {
        let age = report.age + since_look;
        let is_silent = age > SILENT_AFTER;
        match (is_silent, report.oldest_ballot_age.is_zero()) {
            (true, _) if may_be_silent => Duration::ZERO,
            (false, true) => Duration::ZERO,
            _ => report.oldest_ballot_age + age,
        }
    };
    // Where there is no report at all, no worker has counted since this service started.
    let unreported = if may_be_silent {
        Duration::ZERO
    } else {
        running
    };
    reports.iter().map(waits).min().unwrap_or(unreported)
}

fn step_of(waits: Duration) -> u64 {
    let reached = STEPS.into_iter().rfind(|step| *step <= waits.as_secs());
    reached.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn report(age: u64, oldest_waits: u64) -> ProgressReport {
        ProgressReport {
            reported_at: Timestamp::UNIX_EPOCH,
            age: seconds(age),
            oldest_ballot_age: seconds(oldest_waits),
        }
    }

    fn waits(reports: &[ProgressReport]) -> u64 {
        oldest_waits(reports, Duration::ZERO, LONG).as_secs()
    }

    #[test]
    fn what_waits_has_waited_longer_since_the_report() {
        assert_eq!(waits(&[report(2, 0)]), 0);
        assert_eq!(waits(&[report(2, 7)]), 9);
        assert_eq!(oldest_waits(&[report(2, 7)], seconds(3), LONG), seconds(12));
    }

    #[test]
    fn a_silent_worker_is_behind_unless_another_one_is_not() {
        assert_eq!(waits(&[report(7, 0)]), 7);
        assert_eq!(waits(&[report(500, 0), report(1, 0)]), 0);
        assert_eq!(waits(&[report(500, 0), report(1, 20)]), 21);
        assert_eq!(waits(&[report(500, 0), report(90, 3)]), 93);
    }

    #[test]
    fn after_a_start_workers_have_time_to_report() {
        let after = |running| oldest_waits(&[report(500, 0)], Duration::ZERO, running);
        assert_eq!(after(seconds(5)), Duration::ZERO);
        assert_eq!(after(seconds(7)), seconds(500));
        let without_report = |running| oldest_waits(&[], Duration::ZERO, running);
        assert_eq!(without_report(seconds(5)), Duration::ZERO);
        assert_eq!(without_report(seconds(7)), seconds(7));
    }

    #[test]
    fn viewers_see_steps() {
        let steps = [0, 4, 5, 9, 10, 59, 60, 1_000_000].map(|waits| step_of(seconds(waits)));
        assert_eq!(steps, [0, 0, 5, 5, 10, 30, 60, 86_400]);
    }
}
