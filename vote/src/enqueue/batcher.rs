//! Batches of ballots on their way to one shard of the queue.
//!
//! A single enqueue costs a wake-up of the queue's thread, a task and a write to the server; a batch costs little more. So the
//! votes that arrive while one batch is being stored go together in the next.

use std::{
    mem,
    time::{Duration, Instant},
};

use poll::ballot::{Ballot, BallotId, Choice};
use queue::{ProducerSpan, Queue, QueueError};
use tokio::{
    spawn,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    limit::{ConcurrencyLimit, Permit},
    runtime::QueueRuntime,
};

/// Delay after which a batch is sent even if the previous one is not stored yet: a distant queue processes several at once. A
/// serial queue does not, so its batches always wait for the previous one.
const MAX_BATCH_DELAY: Duration = Duration::from_millis(2);
/// Upper bound on the ballots in one batch.
const MAX_BATCH_SIZE: usize = 512;

/// Batches enqueue requests of one shard. Cloning is cheap; clones share the batches.
#[derive(Clone)]
pub struct EnqueueBatcher {
    /// Limit on the shard's ballots in flight.
    pub limit: ConcurrencyLimit,
    queue: Queue,
    pending: mpsc::UnboundedSender<PendingEnqueue>,
    _runtime: QueueRuntime,
}

/// Proof that the queue has stored a ballot.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Id of the ballot's entry in the queue.
    pub ballot: BallotId,
    /// Choice of the voter.
    pub choice: Choice,
}

/// Outcome and latency of one enqueue.
pub struct EnqueueResult {
    /// Receipt of the stored ballot. After an error other than [`QueueError::Rejected`], the ballot may be stored or not.
    pub outcome: Result<Receipt, QueueError>,
    /// Time from the request to the reply.
    pub latency: Duration,
}

struct PendingEnqueue {
    span: ProducerSpan,
    started_at: Instant,
    permit: Permit,
    result: oneshot::Sender<EnqueueResult>,
}

impl EnqueueBatcher {
    /// Starts batching for this shard, which must have been opened on this runtime.
    pub fn start(queue: Queue, limit: ConcurrencyLimit, runtime: &QueueRuntime) -> Self {
        let (pending, requests) = mpsc::unbounded_channel();
        let shard = queue.clone();
        let max_delay = (!queue.is_serial()).then_some(MAX_BATCH_DELAY);
        runtime.spawn(run_batches(requests, max_delay, move |batch| {
            enqueue_batch(shard.clone(), batch)
        }));
        Self {
            limit,
            queue,
            pending,
            _runtime: runtime.clone(),
        }
    }

    /// Enqueues a ballot and waits for the queue's reply. If the caller stops waiting, the ballot is enqueued all the same.
    pub async fn enqueue(&self, ballot: Ballot, permit: Permit) -> EnqueueResult {
        let (result, reply) = oneshot::channel();
        let started_at = Instant::now();
        let pending = PendingEnqueue {
            span: ProducerSpan::begin(ballot, &self.queue),
            started_at,
            permit,
            result,
        };
        // If the batch task has ended, the sender of `result` is dropped and the reply below is an error.
        let _ = self.pending.send(pending);
        reply.await.unwrap_or_else(|_| EnqueueResult {
            outcome: Err(QueueError::Unavailable("the batch task has ended".into())),
            latency: started_at.elapsed(),
        })
    }
}

async fn enqueue_batch(queue: Queue, batch: Vec<PendingEnqueue>) {
    let ballots: Vec<_> = batch.iter().map(|pending| pending.span.ballot()).collect();
    let outcomes = queue.enqueue_all(&ballots).await;
    for (pending, outcome) in batch.into_iter().zip(outcomes) {
        pending.complete(outcome);
    }
}

impl PendingEnqueue {
    fn complete(self, outcome: Result<BallotId, QueueError>) {
        let latency = self.started_at.elapsed();
        // The latency of an unreachable queue says nothing about its capacity.
        if matches!(outcome, Ok(_) | Err(QueueError::Timeout(_))) {
            self.permit.record_latency(latency);
        }
        let choice = self.span.end(&outcome).choice;
        let outcome = outcome.map(|ballot| Receipt { ballot, choice });
        // It fails if the caller has stopped waiting.
        let _ = self.result.send(EnqueueResult { outcome, latency });
    }
}

/// Sends the requests in batches until all senders are dropped. A batch waits for the previous one, `max_delay` at most; each
/// batch ends by the queue's timeout.
async fn run_batches<T, F>(
    mut requests: mpsc::UnboundedReceiver<T>,
    max_delay: Option<Duration>,
    send_batch: impl Fn(Vec<T>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut batch = Vec::new();
    let mut previous: Option<JoinHandle<()>> = None;
    while requests.recv_many(&mut batch, MAX_BATCH_SIZE).await > 0 {
        if let Some(previous) = previous.take() {
            // The batch is sent in any case: the previous one is stored, has failed or takes longer.
            match max_delay {
                Some(delay) => drop(timeout(delay, previous).await),
                None => drop(previous.await),
            }
        }
        while batch.len() < MAX_BATCH_SIZE
            && let Ok(request) = requests.try_recv()
        {
            batch.push(request);
        }
        previous = Some(spawn(send_batch(mem::take(&mut batch))));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use tokio::{
        sync::Semaphore,
        task::yield_now,
        time::{advance, sleep},
    };

    /// Batches of numbers.
    struct NumberBatches {
        pending: mpsc::UnboundedSender<usize>,
        sent: Arc<Mutex<Vec<Vec<usize>>>>,
        /// One permit lets one batch complete.
        completions: Arc<Semaphore>,
    }

    impl NumberBatches {
        fn new(max_delay: Option<Duration>) -> Self {
            let (pending, requests) = mpsc::unbounded_channel();
            let sent = Arc::<Mutex<Vec<_>>>::default();
            let completions = Arc::new(Semaphore::new(0));
            let (batches, may_complete) = (sent.clone(), completions.clone());
            let send_batch = move |batch| {
                batches.lock().unwrap().push(batch);
                let may_complete = may_complete.clone();
                async move { may_complete.acquire().await.unwrap().forget() }
            };
            spawn(run_batches(requests, max_delay, send_batch));
            Self {
                pending,
                sent,
                completions,
            }
        }

        /// Adds these numbers and returns the sizes of the batches sent so far.
        async fn add(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<usize> {
            for number in numbers {
                self.pending.send(number).unwrap();
            }
            self.sent_sizes().await
        }

        /// Returns the sizes of the batches sent so far, in their order.
        async fn sent_sizes(&self) -> Vec<usize> {
            for _ in 0..10 {
                yield_now().await;
            }
            self.sent.lock().unwrap().iter().map(Vec::len).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_arrive_during_a_batch_go_with_the_next() {
        let batches = NumberBatches::new(Some(MAX_BATCH_DELAY));
        assert_eq!(batches.add([0]).await, [1], "the first is sent at once");
        for number in 1..=5 {
            assert_eq!(batches.add([number]).await, [1]);
        }
        batches.completions.add_permits(1);
        assert_eq!(batches.sent_sizes().await, [1, 5]);
        batches.completions.add_permits(1);
        assert_eq!(batches.add([6]).await, [1, 5, 1]);
        let sent = batches.sent.lock().unwrap().concat();
        assert_eq!(sent, [0, 1, 2, 3, 4, 5, 6], "all are sent, in order");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_batch_delays_the_next_by_2_ms_at_most() {
        let batches = NumberBatches::new(Some(MAX_BATCH_DELAY));
        batches.add([0]).await;
        for expected in 2..10 {
            assert_eq!(batches.add([1, 2]).await.len(), expected - 1);
            advance(MAX_BATCH_DELAY).await;
            sleep(Duration::ZERO).await;
            assert_eq!(batches.sent_sizes().await.len(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn batches_of_a_serial_queue_wait_for_the_previous_one() {
        let batches = NumberBatches::new(None);
        batches.add([0]).await;
        batches.add([1, 2]).await;
        advance(100 * MAX_BATCH_DELAY).await;
        sleep(Duration::ZERO).await;
        assert_eq!(batches.sent_sizes().await, [1]);
        batches.completions.add_permits(1);
        assert_eq!(batches.add([3]).await, [1, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_are_split_into_several_batches() {
        let batches = NumberBatches::new(Some(MAX_BATCH_DELAY));
        batches.completions.add_permits(10);
        let sizes = batches.add(0..=2 * MAX_BATCH_SIZE).await;
        assert_eq!(sizes, [MAX_BATCH_SIZE, MAX_BATCH_SIZE, 1]);
    }
}
