//! Enqueueing of batches.

use std::time::Duration;

use redis::{Cmd, Pipeline};
use tokio::time::{Instant, sleep, timeout_at};

use super::{RedisQueue, cluster::is_resharding, replies::Added};
use crate::{QueueError, stream_entry::fields_of};
use poll::ballot::{Ballot, BallotId};
use retry::Backoff;

/// Initial capacity of an XADD: arguments, and bytes in them. Few commands need more.
const XADD_ARGUMENTS: usize = 11;
const XADD_BYTES: usize = 180;

impl RedisQueue {
    pub(crate) async fn enqueue_all(
        &self,
        ballots: &[&Ballot],
    ) -> Vec<Result<BallotId, QueueError>> {
        let late = Err(QueueError::Timeout(self.enqueue_timeout));
        let mut outcomes = vec![late.clone(); ballots.len()];
        let deadline = Instant::now() + self.enqueue_timeout;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        let mut remaining: Vec<_> = (0..ballots.len()).collect();
        loop {
            let mut adds = Pipeline::with_capacity(remaining.len());
            for &index in &remaining {
                adds.add_command(self.xadd(ballots[index]));
            }
            let Ok(replies) = timeout_at(deadline, self.connection.query_each(adds)).await else {
                for index in remaining {
                    outcomes[index].clone_from(&late);
                }
                return outcomes;
            };
            let mut replies = replies.into_iter();
            remaining.retain(|&index| {
                let reply = replies.next().expect("one reply for each command");
                // Retry only what was certainly not executed: without a connection nothing was sent, and another node that
                // has the stream redirected the command. A command that was in flight when the connection broke is never
                // sent again. If it had arrived, the second entry's id would be the vote's, and the first entry could
                // still arrive late and overtake a newer vote.
                let is_retryable = matches!(
                    &reply,
                    Err(error) if error.is_connection_refusal() || is_resharding(error)
                );
                outcomes[index] = match reply {
                    Ok(Added(id)) => Ok(self.shard.to_global_id(id)),
                    Err(error) => Err(self.classify(&error)),
                };
                is_retryable
            });
            let wait = backoff.next_delay();
            if remaining.is_empty() || Instant::now() + wait >= deadline {
                return outcomes;
            }
            sleep(wait).await;
        }
    }

    fn xadd(&self, ballot: &Ballot) -> Cmd {
        let mut xadd = Cmd::with_capacity(XADD_ARGUMENTS, XADD_BYTES);
        xadd.arg("XADD").arg(&*self.stream).arg("*");
        for (name, value) in fields_of(ballot) {
            xadd.arg(name).arg(&*value);
        }
        xadd
    }
}
