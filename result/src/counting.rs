//! The delay of counting behind voting, from the workers' reports in the store.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use store::{ProgressReport, Store};
use utoipa::ToSchema;

/// Interval between reads of the reports; workers report every 2 seconds.
const READ_INTERVAL: Duration = Duration::from_secs(1);
/// Age of the last report after which a worker is silent: three reports are missing.
const SILENT_AFTER: Duration = Duration::from_secs(6);
/// The delays that are shown, in seconds. They are few, because each change is sent to every viewer. In normal operation, ballots
/// wait for less than the first delay.
const STEPS: [u64; 15] = [
    5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 86_400,
];

/// The delay of counting behind voting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Counting)]
pub struct CountingDocument {
    /// Minimum number of seconds for which votes have been waiting to be counted, or no worker has reported: 0 if counting is up to
    /// date, otherwise one of 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800 and 86400.
    pub behind_seconds: u64,
    /// Time of the last report of a worker; null if there is none.
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

/// Tracks the delay of counting from the workers' reports.
pub struct CountingDelay {
    started: Instant,
    read_at: Option<Instant>,
    reports: Vec<ProgressReport>,
    can_read: bool,
}

impl CountingDelay {
    /// A delay without reports.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            read_at: None,
            reports: Vec::new(),
            can_read: true,
        }
    }

    /// Reads the reports, unless they were read within the interval.
    pub async fn refresh_if_due(&mut self, store: &Store) {
        if self.read_at.is_some_and(|at| at.elapsed() < READ_INTERVAL) {
            return;
        }
        let read = store.progress().await;
        let could_read = std::mem::replace(&mut self.can_read, read.is_ok());
        match read {
            Ok(reports) => (self.reports, self.read_at) = (reports, Some(Instant::now())),
            // The tally is readable and this table is not, so most likely a permission is missing.
            Err(error) if could_read => {
                tracing::warn!(%error, "reading the workers' reports failed; delays of counting are not shown");
            }
            Err(_) => {}
        }
    }

    /// The delay that viewers see.
    pub fn document(&self) -> CountingDocument {
        let since_read = self.read_at.map_or(Duration::ZERO, |at| at.elapsed());
        let wait = if self.can_read {
            max_wait(&self.reports, since_read, self.started.elapsed())
        } else {
            Duration::ZERO
        };
        let newest = self.reports.iter().map(|report| report.reported_at).max();
        CountingDocument {
            behind_seconds: round_down(wait),
            reported_at: newest,
        }
    }
}

/// The maximum time for which a vote may have been waiting. All workers report the same queue, so the smallest report is used.
///
/// `uptime` is the time since the start of this service: after a start of the whole application, no worker may have reported yet.
fn max_wait(reports: &[ProgressReport], since_read: Duration, uptime: Duration) -> Duration {
    let may_be_silent = uptime <= SILENT_AFTER;
    let wait = |report: &ProgressReport| {
        let age = report.age + since_read;
        let is_silent = age > SILENT_AFTER;
        match (is_silent, report.oldest_ballot_age.is_zero()) {
            (true, _) if may_be_silent => Duration::ZERO,
            (false, true) => Duration::ZERO,
            _ => report.oldest_ballot_age + age,
        }
    };
    // Without any report, no worker has counted since the start of this service.
    let unreported = if may_be_silent {
        Duration::ZERO
    } else {
        uptime
    };
    reports.iter().map(wait).min().unwrap_or(unreported)
}

/// Rounds a delay down to one of the delays that are shown.
fn round_down(wait: Duration) -> u64 {
    let reached = STEPS.into_iter().rfind(|step| *step <= wait.as_secs());
    reached.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn report(age: u64, oldest_ballot_age: u64) -> ProgressReport {
        ProgressReport {
            reported_at: Timestamp::UNIX_EPOCH,
            age: seconds(age),
            oldest_ballot_age: seconds(oldest_ballot_age),
        }
    }

    fn wait(reports: &[ProgressReport]) -> u64 {
        max_wait(reports, Duration::ZERO, LONG).as_secs()
    }

    #[test]
    fn the_wait_grows_after_the_report() {
        assert_eq!(wait(&[report(2, 0)]), 0);
        assert_eq!(wait(&[report(2, 7)]), 9);
        assert_eq!(max_wait(&[report(2, 7)], seconds(3), LONG), seconds(12));
    }

    #[test]
    fn a_silent_worker_is_behind_unless_another_worker_reports() {
        assert_eq!(wait(&[report(7, 0)]), 7);
        assert_eq!(wait(&[report(500, 0), report(1, 0)]), 0);
        assert_eq!(wait(&[report(500, 0), report(1, 20)]), 21);
        assert_eq!(wait(&[report(500, 0), report(90, 3)]), 93);
    }

    #[test]
    fn workers_have_time_to_report_after_a_start() {
        let after = |uptime| max_wait(&[report(500, 0)], Duration::ZERO, uptime);
        assert_eq!(after(seconds(5)), Duration::ZERO);
        assert_eq!(after(seconds(7)), seconds(500));
        let without_report = |uptime| max_wait(&[], Duration::ZERO, uptime);
        assert_eq!(without_report(seconds(5)), Duration::ZERO);
        assert_eq!(without_report(seconds(7)), seconds(7));
    }

    #[test]
    fn delays_are_rounded_down() {
        let steps = [0, 4, 5, 9, 10, 59, 60, 1_000_000].map(|wait| round_down(seconds(wait)));
        assert_eq!(steps, [0, 0, 5, 5, 10, 30, 60, 86_400]);
    }
}
