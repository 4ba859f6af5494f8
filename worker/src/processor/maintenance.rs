//! Maintenance of the queue by a ballot processor: monotonic ids, trimming, and removal of idle consumers.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use poll::ballot::BallotId;
use queue::{MAX_CLOCK_SKEW, QueueError};

use super::{BallotProcessor, ProcessError};
use crate::backlog::ahead_of_clock;

const TRIM_INTERVAL: Duration = Duration::from_secs(1);
const REMOVE_IDLE_INTERVAL: Duration = Duration::from_mins(1);
/// A consumer with no pending ballots is removed after it has been idle for this many times `claim_min_idle`.
const REMOVE_AFTER_IDLE_FACTOR: u32 = 60;

/// The times at which maintenance is next due.
pub(super) struct MaintenanceSchedule {
    next_trim: Instant,
    next_remove_idle: Instant,
}

impl MaintenanceSchedule {
    /// A schedule on which everything is due now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            next_trim: now,
            next_remove_idle: now,
        }
    }
}

impl BallotProcessor {
    /// Ensures that the ids of new ballots are greater than those of stored ballots.
    ///
    /// A wiped queue assigns ids by its own clock again. If that clock were behind the previous one, a voter's new vote would
    /// have a smaller id than the stored vote and be treated as stale.
    pub(super) async fn ensure_monotonic_ids(&mut self) -> Result<(), ProcessError> {
        let newest_ms = self.store.last_cast_ms().await?;
        let mut newest_ms = u64::try_from(newest_ms).unwrap_or(0);
        let newest = BallotId {
            ms: newest_ms,
            seq: 0,
        };
        if self.should_restart_ids(newest) {
            let bound = earliest_next_id_time();
            self.store.clamp_cast_times(bound).await?;
            newest_ms = bound.as_millisecond().unsigned_abs();
        }
        match self.consumer.raise_last_id(newest_ms).await {
            // Most likely a missing permission, which must not stop the processing of ballots.
            Err(QueueError::Rejected(reason)) => {
                tracing::warn!(
                    error = reason,
                    "raising the queue's last id failed; new ids may be smaller than stored ones"
                );
                Ok(())
            }
            result => Ok(result?),
        }
    }

    /// Trims the queue and removes idle consumers when due.
    pub(super) async fn maintain_queue(&mut self) -> Result<(), ProcessError> {
        self.trim_when_due().await?;
        self.remove_idle_consumers_when_due().await;
        Ok(())
    }

    async fn trim_when_due(&mut self) -> Result<(), ProcessError> {
        if Instant::now() < self.maintenance.next_trim {
            return Ok(());
        }
        let backlog = self.consumer.trim().await?;
        self.maintenance.next_trim = Instant::now() + TRIM_INTERVAL;
        if backlog.oldest.is_none() && self.should_restart_ids(backlog.last) {
            self.restart_ids(backlog.last).await?;
        }
        Ok(())
    }

    /// Restarts the ids at the current time after an id from the future.
    ///
    /// One id from the future moves all later ids into the future, because the queue never assigns a smaller id. While the
    /// queue is empty, the ids can restart: the stored votes are first moved back to the present, and the ids restart if no
    /// ballot arrived in the meantime.
    ///
    /// Another processor that is assumed dead and still holds a ballot with an id from the future could store it above newer
    /// votes. An operator must therefore stop all other workers first. Works for a single shard only.
    async fn restart_ids(&mut self, last: BallotId) -> Result<(), ProcessError> {
        let votes = self.store.clamp_cast_times(earliest_next_id_time()).await?;
        if self.consumer.restart_ids(last).await? {
            tracing::warn!(queue.last_id = %last, votes.changed = votes, "the queue's ids were ahead of the clock and have been restarted");
        }
        Ok(())
    }

    async fn remove_idle_consumers_when_due(&mut self) {
        if Instant::now() < self.maintenance.next_remove_idle {
            return;
        }
        self.maintenance.next_remove_idle = Instant::now() + REMOVE_IDLE_INTERVAL;
        let min_idle = self
            .config
            .claim_min_idle
            .saturating_mul(REMOVE_AFTER_IDLE_FACTOR);
        match self.consumer.remove_idle_consumers(min_idle).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(consumers.removed = removed, "removed idle consumers");
            }
            // Idle consumers cost a little memory and no vote.
            Err(error) => {
                tracing::warn!(%error, "removing idle consumers failed");
            }
        }
    }

    /// Returns true if this id is ahead of the clock and the processor restarts such ids.
    fn should_restart_ids(&self, id: BallotId) -> bool {
        self.config.restarts_ids && ahead_of_clock(id) > MAX_CLOCK_SKEW
    }
}

/// A time before every time that the queue's clock may report from now on.
fn earliest_next_id_time() -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(MAX_CLOCK_SKEW).unwrap_or(now)
}
