//! Where votes wait until the queue has them, in groups.
//!
//! A vote alone costs a wake-up of the queue's thread, a task and a write to the server; a group costs hardly more. So those
//! that come while the queue keeps one group go together with the next.

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

use crate::{
    admission::{Admission, Admitted},
    queue_thread::QueueThread,
};

/// A group goes after this time even if the one before it is not kept yet: a queue far away keeps several at once.
const GOES_AFTER: Duration = Duration::from_millis(2);
/// How many votes go together at most.
const GROUP_AT_MOST: usize = 512;

/// The line before one shard of the queue. Cloning is cheap; clones are the same line.
#[derive(Clone)]
pub struct Line {
    /// Who may join it.
    pub admission: Admission,
    queue: Queue,
    waiting: mpsc::UnboundedSender<Waiting>,
    _thread: QueueThread,
}

/// The proof that the queue has a ballot.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Its place in the queue.
    pub ballot: BallotId,
    /// What was chosen.
    pub choice: Choice,
}

/// What became of a vote that waited.
pub struct Answer {
    /// Whether the queue has it; when it failed, nobody can tell.
    pub outcome: Result<Receipt, QueueError>,
    /// How long it waited.
    pub took: Duration,
}

struct Waiting {
    sending: ProducerSpan,
    since: Instant,
    admitted: Admitted,
    answer: oneshot::Sender<Answer>,
}

impl Line {
    /// Opens the line before this shard, which must have been opened on this thread.
    pub fn open(queue: Queue, admission: Admission, thread: &QueueThread) -> Self {
        let (waiting, line) = mpsc::unbounded_channel();
        let shard = queue.clone();
        thread.spawn(go_in_groups(line, move |group| keep(shard.clone(), group)));
        Self {
            admission,
            queue,
            waiting,
            _thread: thread.clone(),
        }
    }

    /// Waits until the queue has this ballot or has failed. It goes there even if nobody waits any more.
    pub async fn keep(&self, ballot: Ballot, admitted: Admitted) -> Answer {
        let (answer, answered) = oneshot::channel();
        let since = Instant::now();
        let waiting = Waiting {
            sending: ProducerSpan::begin(ballot, &self.queue),
            since,
            admitted,
            answer,
        };
        // Should there be nobody to take it, there is nobody to answer either.
        let _ = self.waiting.send(waiting);
        answered.await.unwrap_or_else(|_| Answer {
            outcome: Err(QueueError::Unavailable(
                "what waited for it was given up".into(),
            )),
            took: since.elapsed(),
        })
    }
}

async fn keep(queue: Queue, group: Vec<Waiting>) {
    let ballots: Vec<_> = group
        .iter()
        .map(|waiting| waiting.sending.ballot())
        .collect();
    let outcomes = queue.enqueue_all(&ballots).await;
    for (waiting, outcome) in group.into_iter().zip(outcomes) {
        waiting.end(outcome);
    }
}

impl Waiting {
    fn end(self, outcome: Result<BallotId, QueueError>) {
        let took = self.since.elapsed();
        // A queue that is gone says nothing about how much it keeps.
        if matches!(outcome, Ok(_) | Err(QueueError::Timeout(_))) {
            self.admitted.took(took);
        }
        let choice = self.sending.end(&outcome).choice;
        let outcome = outcome.map(|ballot| Receipt { ballot, choice });
        // Whoever does not wait any more does not want to know.
        let _ = self.answer.send(Answer { outcome, took });
    }
}

/// Lets those who wait go, as long as somebody may come.
async fn go_in_groups<T, Going>(mut line: mpsc::UnboundedReceiver<T>, go: impl Fn(Vec<T>) -> Going)
where
    Going: Future<Output = ()> + Send + 'static,
{
    let mut group = Vec::new();
    let mut before: Option<JoinHandle<()>> = None;
    while line.recv_many(&mut group, GROUP_AT_MOST).await > 0 {
        if let Some(before) = before.take() {
            // Whether it is kept, has failed or takes longer: this one goes.
            let _ = timeout(GOES_AFTER, before).await;
        }
        while group.len() < GROUP_AT_MOST
            && let Ok(one_more) = line.try_recv()
        {
            group.push(one_more);
        }
        before = Some(spawn(go(mem::take(&mut group))));
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

    /// A line of numbers, and the groups that went.
    struct Numbers {
        waiting: mpsc::UnboundedSender<usize>,
        gone: Arc<Mutex<Vec<Vec<usize>>>>,
        /// One permit lets one group arrive.
        arrivals: Arc<Semaphore>,
    }

    impl Numbers {
        fn new() -> Self {
            let (waiting, line) = mpsc::unbounded_channel();
            let gone = Arc::<Mutex<Vec<_>>>::default();
            let arrivals = Arc::new(Semaphore::new(0));
            let (all, may_arrive) = (gone.clone(), arrivals.clone());
            let go = move |group| {
                all.lock().unwrap().push(group);
                let may_arrive = may_arrive.clone();
                async move { may_arrive.acquire().await.unwrap().forget() }
            };
            spawn(go_in_groups(line, go));
            Self {
                waiting,
                gone,
                arrivals,
            }
        }

        /// These come. How large the groups are that have gone then.
        async fn come(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<usize> {
            for number in numbers {
                self.waiting.send(number).unwrap();
            }
            self.gone().await
        }

        /// How large the groups are that have gone by now, in their order.
        async fn gone(&self) -> Vec<usize> {
            for _ in 0..10 {
                yield_now().await;
            }
            self.gone.lock().unwrap().iter().map(Vec::len).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_a_group_is_under_way_goes_with_the_next() {
        let numbers = Numbers::new();
        assert_eq!(numbers.come([0]).await, [1], "nobody waits for company");
        for number in 1..=5 {
            assert_eq!(numbers.come([number]).await, [1]);
        }
        numbers.arrivals.add_permits(1);
        assert_eq!(numbers.gone().await, [1, 5]);
        numbers.arrivals.add_permits(1);
        assert_eq!(numbers.come([6]).await, [1, 5, 1]);
        let gone = numbers.gone.lock().unwrap().concat();
        assert_eq!(gone, [0, 1, 2, 3, 4, 5, 6], "nobody is passed over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_takes_long_holds_nobody_up() {
        let numbers = Numbers::new();
        numbers.come([0]).await;
        for expected in 2..10 {
            assert_eq!(numbers.come([1, 2]).await.len(), expected - 1);
            advance(GOES_AFTER).await;
            sleep(Duration::ZERO).await;
            assert_eq!(numbers.gone().await.len(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_goes_in_several_groups() {
        let numbers = Numbers::new();
        numbers.arrivals.add_permits(10);
        let gone = numbers.come(0..=2 * GROUP_AT_MOST).await;
        assert_eq!(gone, [GROUP_AT_MOST, GROUP_AT_MOST, 1]);
    }
}
