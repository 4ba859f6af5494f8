//! Processes ballots in batches: read from the queue, store, acknowledge, always in this order.

mod maintenance;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use poll::{KnownPolls, Poll, ballot::BallotId};
use queue::{Consumer, QueueError, StreamEntry};
use store::{Store, StoreError};

use crate::{backlog::age_of, batch::Batch, metrics::WorkerMetrics, polls};
use maintenance::MaintenanceSchedule;

/// Batch size and intervals of a ballot processor.
#[derive(Clone, Copy, Debug)]
pub struct ProcessorConfig {
    /// Maximum number of ballots in one transaction.
    pub max_batch_size: usize,
    /// Time to block for the next ballot when the queue is empty, except in the first read.
    pub read_timeout: Duration,
    /// Time after which a ballot that another consumer holds is claimed.
    pub claim_min_idle: Duration,
    /// True if the processor restarts ids that are ahead of the clock. It must then be the only processor.
    pub restarts_ids: bool,
}

/// The outcome of one iteration of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This number of ballots was stored, or written to the dead letters, and acknowledged.
    Processed(usize),
    /// The queue was empty.
    Idle,
}

/// One step of an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was read.
    Read,
    /// The batch in flight was stored.
    Stored,
    /// The stored batch of this number of ballots was acknowledged; no batch is in flight.
    Acknowledged(usize),
    /// The queue was empty.
    Idle,
}

/// The reason that an iteration failed. The batch in flight is retried in the next iteration.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Processes the ballots of one consumer of the queue.
pub struct BallotProcessor {
    consumer: Consumer,
    store: Store,
    poll: Poll,
    has_recorded_poll: bool,
    /// The polls that were known when an entry of an unknown poll was last read.
    known_polls: KnownPolls,
    config: ProcessorConfig,
    metrics: WorkerMetrics,
    in_flight: InFlightBatch,
    has_read: bool,
    next_claim: Instant,
    maintenance: MaintenanceSchedule,
}

/// The batch that has been read and not yet acknowledged.
enum InFlightBatch {
    None,
    Read(Vec<StreamEntry>),
    Stored(Vec<BallotId>),
}

impl BallotProcessor {
    /// A processor with no batch in flight.
    #[must_use]
    pub fn new(
        consumer: Consumer,
        store: Store,
        poll: Poll,
        config: ProcessorConfig,
        metrics: WorkerMetrics,
    ) -> Self {
        Self {
            consumer,
            store,
            known_polls: KnownPolls::new(&poll),
            poll,
            has_recorded_poll: false,
            config,
            metrics,
            in_flight: InFlightBatch::None,
            has_read: false,
            next_claim: Instant::now(),
            maintenance: MaintenanceSchedule::new(),
        }
    }

    /// Processes one batch and then, when due, trims the queue and removes idle consumers.
    ///
    /// # Errors
    /// The queue or the store failed. The batch in flight stays in flight, and the next iteration continues with it.
    pub async fn run_next(&mut self) -> Result<Progress, ProcessError> {
        let progress = loop {
            match self.step().await? {
                Step::Read | Step::Stored => {}
                Step::Acknowledged(count) => break Progress::Processed(count),
                Step::Idle => break Progress::Idle,
            }
        };
        self.maintain_queue().await?;
        Ok(progress)
    }

    /// Performs the next step: reads a batch if none is in flight, stores the batch that was read, or acknowledges the batch
    /// that was stored.
    ///
    /// # Errors
    /// The queue or the store failed. The batch in flight stays in flight, and the next step retries the same.
    pub async fn step(&mut self) -> Result<Step, ProcessError> {
        match &self.in_flight {
            InFlightBatch::None => {
                let entries = self.read().await?;
                if entries.is_empty() {
                    return Ok(Step::Idle);
                }
                self.in_flight = InFlightBatch::Read(entries);
                Ok(Step::Read)
            }
            InFlightBatch::Read(entries) => {
                // Votes in a poll that is not recorded would not be found after a restart with another poll.
                if !self.has_recorded_poll {
                    self.store.record_poll(&self.poll).await?;
                    self.has_recorded_poll = true;
                }
                let is_unknown = |entry: &StreamEntry| entry.has_unknown_poll(&self.known_polls);
                if entries.iter().any(is_unknown) {
                    self.known_polls = polls::load(&self.store, &self.poll).await?;
                }
                self.store_all(entries).await?;
                self.in_flight = InFlightBatch::Stored(self.in_flight());
                Ok(Step::Stored)
            }
            InFlightBatch::Stored(ids) => {
                let count = ids.len();
                self.consumer.acknowledge(ids).await?;
                self.in_flight = InFlightBatch::None;
                self.metrics
                    .worker_last_success_timestamp_seconds
                    .set(Timestamp::now().as_duration().as_secs_f64());
                Ok(Step::Acknowledged(count))
            }
        }
    }

    /// The ids of the batch in flight.
    #[must_use]
    pub fn in_flight(&self) -> Vec<BallotId> {
        match &self.in_flight {
            InFlightBatch::None => Vec::new(),
            InFlightBatch::Read(entries) => entries.iter().map(|entry| entry.id).collect(),
            InFlightBatch::Stored(ids) => ids.clone(),
        }
    }

    /// Reads a batch. Ballots that other consumers left pending come first, because they are the oldest.
    async fn read(&mut self) -> Result<Vec<StreamEntry>, ProcessError> {
        if self.consumer.needs_id_check() {
            self.ensure_monotonic_ids().await?;
        }
        if Instant::now() >= self.next_claim {
            let claimed = self.claim().await?;
            if !claimed.is_empty() {
                return Ok(claimed);
            }
            self.next_claim = Instant::now() + self.config.claim_min_idle / 2;
        }
        let entries = self
            .consumer
            .read(self.config.max_batch_size, self.read_timeout())
            .await?;
        self.has_read = true;
        Ok(entries)
    }

    /// The time to block for the next ballot. The first read does not block, so that the first iteration succeeds at once on an empty
    /// queue: the worker is ready after its first iteration.
    fn read_timeout(&self) -> Duration {
        if self.has_read {
            self.config.read_timeout
        } else {
            Duration::ZERO
        }
    }

    /// Claims ballots that another consumer has held for too long.
    async fn claim(&mut self) -> Result<Vec<StreamEntry>, ProcessError> {
        let claimed = self
            .consumer
            .claim(self.config.max_batch_size, self.config.claim_min_idle)
            .await?;
        if !claimed.deleted.is_empty() {
            self.metrics
                .worker_ballots_lost_total
                .inc_by(claimed.deleted.len() as u64);
            tracing::error!(ballots.lost = claimed.deleted.len(), ballots.ids = ?claimed.deleted, "ballots were removed from the queue before they were stored");
        }
        if !claimed.entries.is_empty() {
            self.metrics
                .worker_ballots_reclaimed_total
                .inc_by(claimed.entries.len() as u64);
            tracing::info!(
                batch.size = claimed.entries.len(),
                "claimed ballots of another worker"
            );
        }
        Ok(claimed.entries)
    }

    async fn store_all(&self, entries: &[StreamEntry]) -> Result<(), StoreError> {
        let span = self.consumer.begin_batch(entries);
        let batch = Batch::parse(entries, &self.known_polls);
        let result = span.instrument(batch.store(&self.store)).await;
        let processed = |outcome| {
            self.metrics
                .worker_ballots_processed_total
                .with_label_values(&[outcome])
        };
        match result {
            Ok(stored) => {
                processed("applied").inc_by(stored.applied.applied);
                processed("stale").inc_by(stored.applied.stale);
                processed("dead_letter").inc_by(stored.dead_letters.len() as u64);
                span.end_stored(&stored.dead_letters);
                for entry in entries {
                    self.metrics
                        .worker_end_to_end_latency_seconds
                        .observe(age_of(entry.id.ms).as_secs_f64());
                }
                Ok(())
            }
            Err(error) => {
                processed("retry").inc_by(entries.len() as u64);
                span.end_failed(error.class.label(), &error);
                Err(error)
            }
        }
    }

    /// Removes the consumer from the group. Other workers claim the batch in flight.
    pub async fn remove_consumer(self) {
        if let Err(error) = self.consumer.remove_consumer().await {
            tracing::debug!(%error, "removing the consumer from the group failed");
        }
    }
}
