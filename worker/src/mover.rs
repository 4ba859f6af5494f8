//! Moves ballots, one batch after the other: read, store, acknowledge, in this order and never in another.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use poll::{Poll, ballot::BallotId};
use queue::{Consumer, MAX_CLOCK_SKEW, QueueError, StreamEntry};
use store::{Store, StoreError};

use crate::{
    backlog::{age_of, ahead_of_clock},
    batch::Batch,
    metrics::WorkerMetrics,
};

/// How much and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many ballots one transaction takes at most.
    pub batch: usize,
    /// How long to wait for the next ballot before looking after other things.
    pub wait: Duration,
    /// How long a ballot may be in another consumer's hands before it is taken over.
    pub claim_min_idle: Duration,
    /// True if ids that are ahead of the clock are made to follow it again, for which this must be the only mover.
    pub restarts_ids: bool,
}

/// What one turn of the loop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many ballots were stored or put to the dead letters, and acknowledged.
    Moved(usize),
    /// There was nothing to do.
    Idle,
}

/// One step of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was read.
    Read,
    /// The batch in hand was stored.
    Stored,
    /// So many ballots, the stored batch, were acknowledged: the hands are empty.
    Acknowledged(usize),
    /// There was nothing to read.
    Idle,
}

/// Why a turn of the loop failed. What is in hand stays there for the next turn.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves ballots from one consumer of the queue into the store.
pub struct Mover {
    consumer: Consumer,
    store: Store,
    poll: Poll,
    pace: Pace,
    metrics: WorkerMetrics,
    in_hand: InHand,
    claim_due: Instant,
    trim_due: Instant,
    forget_due: Instant,
}

/// What has been read and not yet acknowledged.
enum InHand {
    Nothing,
    Read(Vec<StreamEntry>, SystemTime),
    Stored(Vec<BallotId>),
}

const TRIM_EVERY: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// A worker that holds nothing and was silent for so many times what would cost it its ballots is gone for good.
const FORGET_AFTER_IDLES: u32 = 60;

impl Mover {
    /// A mover with empty hands.
    #[must_use]
    pub fn new(
        consumer: Consumer,
        store: Store,
        poll: Poll,
        pace: Pace,
        metrics: WorkerMetrics,
    ) -> Self {
        let now = Instant::now();
        Self {
            consumer,
            store,
            poll,
            pace,
            metrics,
            in_hand: InHand::Nothing,
            claim_due: now,
            trim_due: now,
            forget_due: now,
        }
    }

    /// One turn: as many steps as empty the hands, and what is due besides.
    ///
    /// # Errors
    /// The queue or the store failed; the next turn goes on where this one stopped.
    pub async fn run_next(&mut self) -> Result<Progress, MoveError> {
        let progress = loop {
            match self.step().await? {
                Step::Read | Step::Stored => {}
                Step::Acknowledged(count) => break Progress::Moved(count),
                Step::Idle => break Progress::Idle,
            }
        };
        self.trim_when_due().await?;
        self.forget_when_due().await;
        Ok(progress)
    }

    /// The next step: reads a batch into empty hands, stores what was read, or acknowledges what was stored.
    ///
    /// # Errors
    /// The queue or the store failed; what is in hand stays there, and the next step tries the same again.
    pub async fn step(&mut self) -> Result<Step, MoveError> {
        match &self.in_hand {
            InHand::Nothing => {
                let deliveries = self.read().await?;
                if deliveries.is_empty() {
                    return Ok(Step::Idle);
                }
                self.in_hand = InHand::Read(deliveries, SystemTime::now());
                Ok(Step::Read)
            }
            InHand::Read(deliveries, since) => {
                self.store_all(deliveries, *since).await?;
                self.in_hand = InHand::Stored(self.in_hand());
                Ok(Step::Stored)
            }
            InHand::Stored(ids) => {
                let count = ids.len();
                self.consumer.acknowledge(ids).await?;
                self.in_hand = InHand::Nothing;
                self.metrics
                    .worker_last_success_timestamp_seconds
                    .set(Timestamp::now().as_duration().as_secs_f64());
                Ok(Step::Acknowledged(count))
            }
        }
    }

    /// What has been read and not yet acknowledged.
    #[must_use]
    pub fn in_hand(&self) -> Vec<BallotId> {
        match &self.in_hand {
            InHand::Nothing => Vec::new(),
            InHand::Read(deliveries, _) => deliveries.iter().map(|delivery| delivery.id).collect(),
            InHand::Stored(ids) => ids.clone(),
        }
    }

    /// What another consumer left lying comes first: it is the oldest.
    async fn read(&mut self) -> Result<Vec<StreamEntry>, MoveError> {
        if self.consumer.needs_id_check() {
            self.keep_ids_growing().await?;
        }
        if Instant::now() >= self.claim_due {
            let claimed = self
                .consumer
                .claim(self.pace.batch, self.pace.claim_min_idle)
                .await?;
            if !claimed.deleted.is_empty() {
                self.metrics
                    .worker_ballots_lost_total
                    .inc_by(claimed.deleted.len() as u64);
                tracing::error!(ballots = ?claimed.deleted, "ballots were removed from the queue before they were stored");
            }
            if !claimed.entries.is_empty() {
                self.metrics
                    .worker_ballots_reclaimed_total
                    .inc_by(claimed.entries.len() as u64);
                tracing::info!(
                    ballots = claimed.entries.len(),
                    "took over what another worker left"
                );
                return Ok(claimed.entries);
            }
            self.claim_due = Instant::now() + self.pace.claim_min_idle / 2;
        }
        Ok(self.consumer.read(self.pace.batch, self.pace.wait).await?)
    }

    /// A queue that was wiped begins anew with the ids of its own clock. Were that behind the clock of before, whoever
    /// votes again would find the older vote to be the newer one.
    async fn keep_ids_growing(&mut self) -> Result<(), MoveError> {
        let tally = self.store.tally().await?;
        let newest_ms = tally.0.iter().map(|count| count.last_cast_ms).max();
        let mut newest_ms = newest_ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        let newest = BallotId {
            ms: newest_ms,
            seq: 0,
        };
        if self.is_ahead(newest) {
            let now = before_now();
            self.store.clamp_cast_times(now).await?;
            newest_ms = now.as_millisecond().unsigned_abs();
        }
        match self.consumer.raise_last_id(newest_ms).await {
            // Rights that are missing, most likely: no reason to leave ballots lying.
            Err(QueueError::Rejected(why)) => {
                tracing::warn!(
                    why,
                    "the queue's ids cannot be kept above those of stored ballots"
                );
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    async fn store_all(
        &self,
        deliveries: &[StreamEntry],
        since: SystemTime,
    ) -> Result<(), StoreError> {
        let span = self.consumer.begin_batch(deliveries, since);
        let batch = Batch::sort(deliveries, &self.poll);
        let outcome = span.instrument(batch.store(&self.store)).await;
        let entries = |outcome| {
            self.metrics
                .worker_ballots_processed_total
                .with_label_values(&[outcome])
        };
        match outcome {
            Ok(stored) => {
                entries("applied").inc_by(stored.applied.applied);
                entries("stale").inc_by(stored.applied.stale);
                entries("dead_letter").inc_by(stored.dead_letters.len() as u64);
                span.end_stored(&stored.dead_letters);
                for delivery in deliveries {
                    self.metrics
                        .worker_end_to_end_latency_seconds
                        .observe(age_of(delivery.id.ms).as_secs_f64());
                }
                Ok(())
            }
            Err(error) => {
                entries("retry").inc_by(deliveries.len() as u64);
                span.end_failed(error.class.label(), &error);
                Err(error)
            }
        }
    }

    async fn trim_when_due(&mut self) -> Result<(), MoveError> {
        if Instant::now() < self.trim_due {
            return Ok(());
        }
        let backlog = self.consumer.trim().await?;
        self.trim_due = Instant::now() + TRIM_EVERY;
        if backlog.oldest.is_none() && self.is_ahead(backlog.last) {
            self.restart_ids(backlog.last).await?;
        }
        Ok(())
    }

    /// One entry from the future makes all later ids those of the future, for the queue never gives a smaller one. While
    /// nothing waits they can begin anew: first the stored votes are brought back to the present, then the queue, if no
    /// ballot came meanwhile.
    ///
    /// A mover that was taken for dead and still holds a ballot of that future would put it above newer votes: so this is for
    /// an operator who has stopped all others, and for a single shard.
    async fn restart_ids(&mut self, last: BallotId) -> Result<(), MoveError> {
        let votes = self.store.clamp_cast_times(before_now()).await?;
        if self.consumer.restart_ids(last).await? {
            tracing::warn!(%last, votes, "the queue's ids were ahead of the clock; new ones follow it again");
        }
        Ok(())
    }

    async fn forget_when_due(&mut self) {
        if Instant::now() < self.forget_due {
            return;
        }
        self.forget_due = Instant::now() + FORGET_EVERY;
        let idle = self.pace.claim_min_idle.saturating_mul(FORGET_AFTER_IDLES);
        match self.consumer.remove_idle_consumers(idle).await {
            Ok(0) => {}
            Ok(forgotten) => {
                tracing::info!(forgotten, "removed the names of workers that are gone");
            }
            // Names that stay cost a little memory, and no vote.
            Err(error) => {
                tracing::warn!(%error, "the names of workers that are gone stay in the queue");
            }
        }
    }

    /// Returns true if this id is one of the future.
    fn is_ahead(&self, id: BallotId) -> bool {
        self.pace.restarts_ids && ahead_of_clock(id) > MAX_CLOCK_SKEW
    }

    /// Leaves the queue's group. What is in hand is left to other workers.
    pub async fn leave(self) {
        if let Err(error) = self.consumer.remove_consumer().await {
            tracing::debug!(%error, "the consumer's name stays in the group");
        }
    }
}

/// A moment before every one that the queue's clock may give from now on.
fn before_now() -> Timestamp {
    let now = Timestamp::now();
    now.checked_sub(MAX_CLOCK_SKEW).unwrap_or(now)
}
