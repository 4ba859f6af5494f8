//! Moves ballots, one batch after the other: read, store, acknowledge, in this order and never in another.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use shared::{
    ballot::BallotId,
    poll::Poll,
    queue::{Consumer, Delivery, QueueError},
    store::{Store, StoreError},
};

use crate::{batch::Batch, metrics::WorkerMetrics};

/// How much and how often.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How many ballots one transaction takes at most.
    pub batch: usize,
    /// How long to wait for the next ballot before looking after other things.
    pub wait: Duration,
    /// How long a ballot may be in another consumer's hands before it is taken over.
    pub claim_idle: Duration,
}

/// What one turn of the loop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many ballots were stored or put to the dead letters, and acknowledged.
    Moved(usize),
    /// There was nothing to do.
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
}

/// What has been read and not yet acknowledged.
enum InHand {
    Nothing,
    Read(Vec<Delivery>),
    Stored(Vec<BallotId>),
}

const TRIM_EVERY: Duration = Duration::from_secs(1);

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
        }
    }

    /// One turn: reads a batch unless one is in hand, stores it, acknowledges it.
    ///
    /// # Errors
    /// The queue or the store failed; the next turn goes on where this one stopped.
    pub async fn run_next(&mut self) -> Result<Progress, MoveError> {
        if let InHand::Nothing = self.in_hand {
            let deliveries = self.read().await?;
            if !deliveries.is_empty() {
                self.in_hand = InHand::Read(deliveries);
            }
        }
        if let InHand::Read(deliveries) = &self.in_hand {
            let ids = deliveries.iter().map(|delivery| delivery.id).collect();
            self.store_all(deliveries).await?;
            self.in_hand = InHand::Stored(ids);
        }
        let mut moved = Progress::Idle;
        if let InHand::Stored(ids) = &self.in_hand {
            self.consumer.acknowledge(ids).await?;
            moved = Progress::Moved(ids.len());
            self.in_hand = InHand::Nothing;
            self.metrics
                .worker_last_success_timestamp_seconds
                .set(now_seconds());
        }
        self.trim_when_due().await?;
        Ok(moved)
    }

    /// What another consumer left lying comes first: it is the oldest.
    async fn read(&mut self) -> Result<Vec<Delivery>, QueueError> {
        if Instant::now() >= self.claim_due {
            let claimed = self
                .consumer
                .claim(self.pace.batch, self.pace.claim_idle)
                .await?;
            if !claimed.lost.is_empty() {
                self.metrics
                    .worker_entries_lost_total
                    .inc_by(claimed.lost.len() as u64);
                tracing::error!(ballots = ?claimed.lost, "ballots were removed from the queue before they were stored");
            }
            if !claimed.deliveries.is_empty() {
                self.metrics
                    .worker_reclaimed_total
                    .inc_by(claimed.deliveries.len() as u64);
                tracing::info!(
                    ballots = claimed.deliveries.len(),
                    "took over what another worker left"
                );
                return Ok(claimed.deliveries);
            }
            self.claim_due = Instant::now() + self.pace.claim_idle / 2;
        }
        self.consumer.next(self.pace.batch, self.pace.wait).await
    }

    async fn store_all(&self, deliveries: &[Delivery]) -> Result<(), StoreError> {
        let outcome = Batch::sort(deliveries, &self.poll).store(&self.store).await;
        let entries = |outcome| {
            self.metrics
                .worker_entries_total
                .with_label_values(&[outcome])
        };
        match outcome {
            Ok(stored) => {
                entries("applied").inc_by(stored.applied.applied);
                entries("stale").inc_by(stored.applied.stale);
                entries("dead_letter").inc_by(stored.dead_letters);
                let now_ms = Timestamp::now().as_millisecond();
                for delivery in deliveries {
                    let age_ms = now_ms.saturating_sub_unsigned(delivery.id.ms).max(0);
                    let age = Duration::from_millis(age_ms.unsigned_abs());
                    self.metrics
                        .worker_end_to_end_latency_seconds
                        .observe(age.as_secs_f64());
                }
                Ok(())
            }
            Err(error) => {
                entries("retry").inc_by(deliveries.len() as u64);
                Err(error)
            }
        }
    }

    async fn trim_when_due(&mut self) -> Result<(), QueueError> {
        if Instant::now() < self.trim_due {
            return Ok(());
        }
        let backlog = self.consumer.trim().await?;
        self.trim_due = Instant::now() + TRIM_EVERY;
        let age = backlog.oldest.map_or(0.0, |oldest| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "milliseconds of this century are exact in a double"
            )]
            let cast_at = oldest.ms as f64 / 1000.0;
            (now_seconds() - cast_at).max(0.0)
        });
        self.metrics
            .worker_stream_pending_entries
            .set(backlog.pending.cast_signed());
        self.metrics
            .worker_stream_lag_entries
            .set(backlog.undelivered.cast_signed());
        self.metrics.worker_oldest_unacked_age_seconds.set(age);
        Ok(())
    }

    /// Leaves the queue's group. What is in hand is left to other workers.
    pub async fn leave(self) {
        if let Err(error) = self.consumer.leave().await {
            tracing::debug!(%error, "the consumer's name stays in the group");
        }
    }
}

fn now_seconds() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}

/// When the loop last turned.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Mutex<Instant>>);

impl Default for Heartbeat {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Heartbeat {
    /// The loop turns.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago that was.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}
