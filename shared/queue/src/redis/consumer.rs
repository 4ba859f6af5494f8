//! One of the workers' readers of the stream.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, RedisResult, Value, aio::MultiplexedConnection, cmd};

use super::{
    CONNECT_TIMEOUT, GROUP, RESPONSE_TIMEOUT, RedisQueue,
    errors::{is_group_missing, is_id_too_small, is_moved, is_stream_missing},
    replies::{Entries, Held, StreamInfo, Streams},
    scripts,
};
use crate::{Backlog, Claimed, QueueError, StreamEntry};
use poll::ballot::BallotId;

const START: &str = "0-0";

/// The most pending entries that are looked at for those whose time of delivery means nothing.
const LOOKED_AT: usize = 1000;

/// One consumer of the group.
pub struct RedisConsumer {
    queue: RedisQueue,
    /// A connection of its own: while it blocks for the next entry, nothing else could pass on a shared one.
    reader: Option<MultiplexedConnection>,
    name: String,
    /// Where the next claim goes on in the list of pending entries.
    claim_from: String,
    /// Entries that others hold, with how often they had been delivered, and when they were first seen so.
    held_since: HashMap<(String, u64), Instant>,
    needs_id_check: bool,
}

impl RedisConsumer {
    pub(super) fn new(queue: RedisQueue, name: &str) -> Self {
        Self {
            queue,
            reader: None,
            name: name.to_owned(),
            claim_from: START.to_owned(),
            held_since: HashMap::new(),
            needs_id_check: true,
        }
    }

    pub(crate) fn stream(&self) -> &str {
        self.queue.stream()
    }

    pub(crate) async fn read(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, QueueError> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP")
            .arg(GROUP)
            .arg(&self.name)
            .arg("COUNT")
            .arg(max);
        let wait_ms = wait.as_millis();
        // BLOCK 0 would wait for ever.
        if wait_ms > 0 {
            read.arg("BLOCK").arg(wait_ms.to_string());
        }
        read.arg("STREAMS").arg(&*self.queue.stream).arg(">");
        let answer = match self.reader(wait).await {
            Ok(reader) => read.query_async::<Streams>(reader).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Streams(deliveries)) => Ok(self.with_global_ids(deliveries)),
            Err(error) if is_moved(&error) => {
                // The connection that all share follows the stream, and the next one of this reader goes there, too.
                self.reader = None;
                self.queue.group().await?;
                Ok(Vec::new())
            }
            Err(error) if is_group_missing(&error) => {
                self.create_group().await?;
                Ok(Vec::new())
            }
            Err(error) => {
                self.reader = None;
                Err(self.queue.classify(&error))
            }
        }
    }

    async fn reader(&mut self, wait: Duration) -> RedisResult<&mut MultiplexedConnection> {
        let reader = if let Some(reader) = self.reader.take() {
            reader
        } else {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(wait + RESPONSE_TIMEOUT));
            self.queue
                .connection
                .client()
                .get_multiplexed_async_connection_with_config(&config)
                .await?
        };
        Ok(self.reader.insert(reader))
    }

    /// With the ids that ballots have among those of all shards.
    fn with_global_ids(&self, mut entries: Vec<StreamEntry>) -> Vec<StreamEntry> {
        for entry in &mut entries {
            entry.id = self.queue.shard.to_ballot(entry.id);
        }
        entries
    }

    /// From the beginning of the stream, never from its end: whatever is there has not been counted for sure.
    async fn create_group(&mut self) -> Result<(), QueueError> {
        self.needs_id_check = true;
        let (connection, stream) = (&self.queue.connection, &self.queue.stream);
        match scripts::CREATE_GROUP
            .run(connection, stream, &[GROUP])
            .await
        {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()), // another worker was first
            answer => answer.map_err(|error| self.queue.classify(&error)),
        }
    }

    pub(crate) async fn claim(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let answer = self.autoclaim(idle, &self.claim_from, max).await;
        let (next, Entries(deliveries), deleted) = match answer {
            Ok(answer) => answer,
            Err(error) if is_group_missing(&error) => {
                self.create_group().await?;
                return Ok(Claimed::default());
            }
            Err(error) => return Err(self.queue.classify(&error)),
        };
        self.claim_from = next;
        if deliveries.is_empty() && deleted.is_empty() {
            return self.claim_by_own_clock(max, idle).await;
        }
        Ok(self.claimed(deliveries, &deleted))
    }

    /// Takes over entries from this id on. Returns the id to go on from, the entries, and the ids of those that are gone.
    async fn autoclaim(
        &self,
        idle: Duration,
        from: &str,
        max: usize,
    ) -> RedisResult<(String, Entries, Vec<String>)> {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&*self.queue.stream).arg(GROUP).arg(&self.name);
        claim.arg(idle.as_millis().to_string()).arg(from);
        claim.arg("COUNT").arg(max);
        self.queue.connection.query(&claim).await
    }

    fn claimed(&self, deliveries: Vec<StreamEntry>, deleted: &[String]) -> Claimed {
        let lost = deleted.iter().filter_map(|id| id.parse().ok());
        Claimed {
            deliveries: self.with_global_ids(deliveries),
            deleted: lost.map(|id| self.queue.shard.to_ballot(id)).collect(),
        }
    }

    /// Takes over what has been held for longer than `idle` by this process' own clock.
    ///
    /// The server measures by its clock. Once that was set back, what was delivered before would not be idle until the
    /// clock has caught up, and what a dead worker holds would wait for as long.
    async fn claim_by_own_clock(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let mut pending = cmd("XPENDING");
        pending.arg(&*self.queue.stream).arg(GROUP);
        pending.arg("-").arg("+").arg(LOOKED_AT);
        let held = self.queue.connection.query::<Vec<Held>>(&pending).await;
        let held = held.map_err(|error| self.queue.classify(&error))?;
        let now = Instant::now();
        let held_since = held
            .into_iter()
            .filter(|(_, consumer, ..)| *consumer != self.name)
            .map(|(id, _, _, deliveries)| {
                let entry = (id, deliveries);
                let since = self.held_since.get(&entry).copied().unwrap_or(now);
                (entry, since)
            })
            .collect();
        self.held_since = held_since;
        let overdue = self
            .held_since
            .iter()
            .filter(|(_, since)| since.elapsed() > idle);
        let mut overdue: Vec<_> = overdue.map(|((id, _), _)| id.clone()).collect();
        overdue.truncate(max);
        let mut all = Claimed::default();
        for id in overdue {
            let answer = self.autoclaim(Duration::ZERO, &id, 1).await;
            let (_, Entries(deliveries), deleted) =
                answer.map_err(|error| self.queue.classify(&error))?;
            let claimed = self.claimed(deliveries, &deleted);
            all.deliveries.extend(claimed.deliveries);
            all.deleted.extend(claimed.deleted);
        }
        all.deliveries.sort_by_key(|delivery| delivery.id);
        Ok(all)
    }

    pub(crate) async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut ack = cmd("XACK");
        ack.arg(&*self.queue.stream).arg(GROUP);
        for id in ids {
            ack.arg(self.queue.shard.to_entry(*id).to_string());
        }
        match self.queue.connection.exec(&ack).await {
            Err(error) if is_group_missing(&error) => self.create_group().await,
            answer => answer.map_err(|error| self.queue.classify(&error)),
        }
    }

    pub(crate) async fn trim(&mut self) -> Result<Backlog, QueueError> {
        self.queue.trim().await
    }

    pub(crate) async fn backlog(&mut self) -> Result<Backlog, QueueError> {
        self.queue.backlog().await
    }

    pub(crate) fn needs_id_check(&self) -> bool {
        self.needs_id_check
    }

    pub(crate) async fn raise_last_id(&mut self, ms: u64) -> Result<(), QueueError> {
        // A stream is made together with the group, and then this is called again.
        let info = self.queue.info().await;
        let Some(StreamInfo { last, .. }) = info.map_err(|error| self.refused(error))? else {
            self.needs_id_check = false;
            return Ok(());
        };
        if last.ms < ms {
            let mut raise = cmd("XSETID");
            raise.arg(&*self.queue.stream).arg(
                BallotId {
                    ms: ms.saturating_add(1),
                    seq: 0,
                }
                .to_string(),
            );
            let raised = self.queue.connection.exec(&raise).await;
            // An id above this one was given out meanwhile.
            let raised = raised.or_else(|error| {
                if is_id_too_small(&error) {
                    Ok(())
                } else {
                    Err(error)
                }
            });
            raised.map_err(|error| self.refused(self.queue.classify(&error)))?;
            // Of several streams, one that is quiet is behind the others without anything being wrong.
            if last.ms > 0 && self.queue.shard.is_only() {
                tracing::warn!(%last, above_ms = ms, "the queue's ids had gone back; new ballots get greater ones again");
            }
        }
        self.needs_id_check = false;
        Ok(())
    }

    pub(crate) fn is_only_shard(&self) -> bool {
        self.queue.shard.is_only()
    }

    pub(crate) async fn restart_ids(&mut self, last: BallotId) -> Result<bool, QueueError> {
        let (connection, stream) = (&self.queue.connection, &self.queue.stream);
        scripts::RESTART_IDS
            .run(connection, stream, &[GROUP, &last.to_string()])
            .await
            .map_err(|error| self.queue.classify(&error))
    }

    /// What is refused for want of rights is refused every time: once is enough.
    fn refused(&mut self, error: QueueError) -> QueueError {
        self.needs_id_check = !matches!(error, QueueError::Refused(_));
        error
    }

    pub(crate) async fn remove_idle_consumers(
        &mut self,
        idle: Duration,
    ) -> Result<u64, QueueError> {
        let (connection, stream) = (&self.queue.connection, &self.queue.stream);
        let arguments = [GROUP, &self.name, &idle.as_millis().to_string()];
        match scripts::FORGET.run(connection, stream, &arguments).await {
            Ok(forgotten) => Ok(forgotten),
            Err(error) if is_group_missing(&error) || is_stream_missing(&error) => Ok(0),
            Err(error) => Err(self.queue.classify(&error)),
        }
    }

    /// Removes this consumer's name from the group, if it holds nothing: removing it would drop what it holds.
    pub(crate) async fn remove_consumer(self) -> Result<(), QueueError> {
        let mut held = cmd("XPENDING");
        held.arg(&*self.queue.stream)
            .arg(GROUP)
            .arg("-")
            .arg("+")
            .arg(1)
            .arg(&self.name);
        let held: Vec<Value> = self
            .queue
            .connection
            .query(&held)
            .await
            .map_err(|error| self.queue.classify(&error))?;
        if !held.is_empty() {
            return Ok(());
        }
        let mut leave = cmd("XGROUP");
        leave
            .arg("DELCONSUMER")
            .arg(&*self.queue.stream)
            .arg(GROUP)
            .arg(&self.name);
        self.queue
            .connection
            .exec(&leave)
            .await
            .map_err(|error| self.queue.classify(&error))
    }
}
