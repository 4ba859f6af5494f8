//! Consumer of the stream.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, RedisResult, Value, aio::MultiplexedConnection, cmd};

use super::{
    CONNECT_TIMEOUT, GROUP, RESPONSE_TIMEOUT, RedisQueue,
    cluster::is_moved,
    errors::{is_group_missing, is_id_too_small, is_stream_missing},
    replies::{Entries, PendingEntry, StreamInfo, Streams},
    scripts,
};
use crate::{Backlog, Claimed, QueueError, StreamEntry};
use poll::ballot::BallotId;

const START: &str = "0-0";

/// Maximum number of pending entries that are scanned for a claim by this process' own clock.
const MAX_SCANNED: usize = 1000;

/// A consumer of the group.
pub struct RedisConsumer {
    queue: RedisQueue,
    /// Separate connection: a command that blocks for the next entry would block all others on a shared one.
    reader: Option<MultiplexedConnection>,
    name: String,
    /// Cursor of claims in the list of pending entries.
    claim_cursor: String,
    /// Entries pending at other consumers, with their number of entries, and the time when they were first seen so.
    pending_since: HashMap<(String, u64), Instant>,
    needs_id_check: bool,
}

impl RedisConsumer {
    pub(super) fn new(queue: RedisQueue, name: &str) -> Self {
        Self {
            queue,
            reader: None,
            name: name.to_owned(),
            claim_cursor: START.to_owned(),
            pending_since: HashMap::new(),
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
        // BLOCK 0 would block without a timeout.
        if wait_ms > 0 {
            read.arg("BLOCK").arg(wait_ms.to_string());
        }
        read.arg("STREAMS").arg(&*self.queue.stream).arg(">");
        let reply = match self.reader(wait).await {
            Ok(reader) => read.query_async::<Streams>(reader).await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(Streams(entries)) => Ok(self.with_global_ids(entries)),
            Err(error) if is_moved(&error) => {
                // The shared connection follows the stream, and the next read connects to the same node.
                self.reader = None;
                self.queue.group_info().await?;
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
        let mut reader = if let Some(reader) = self.reader.take() {
            reader
        } else {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(RESPONSE_TIMEOUT));
            self.queue
                .connection
                .client()
                .get_multiplexed_async_connection_with_config(&config)
                .await?
        };
        reader.set_response_timeout(wait + RESPONSE_TIMEOUT);
        Ok(self.reader.insert(reader))
    }

    /// Converts the entries' ids to global ids.
    fn with_global_ids(&self, mut entries: Vec<StreamEntry>) -> Vec<StreamEntry> {
        for entry in &mut entries {
            entry.id = self.queue.shard.to_global_id(entry.id);
        }
        entries
    }

    /// Creates the group at the beginning of the stream, not at its end: existing entries may not be stored yet.
    async fn create_group(&mut self) -> Result<(), QueueError> {
        self.needs_id_check = true;
        let (connection, stream) = (&self.queue.connection, &self.queue.stream);
        match scripts::CREATE_GROUP
            .run(connection, stream, &[GROUP])
            .await
        {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()), // another worker created it
            reply => reply.map_err(|error| self.queue.classify(&error)),
        }
    }

    pub(crate) async fn claim(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let reply = self.autoclaim(idle, &self.claim_cursor, max).await;
        let (next, Entries(entries), deleted) = match reply {
            Ok(reply) => reply,
            Err(error) if is_group_missing(&error) => {
                self.create_group().await?;
                return Ok(Claimed::default());
            }
            Err(error) => return Err(self.queue.classify(&error)),
        };
        self.claim_cursor = next;
        if entries.is_empty() && deleted.is_empty() {
            return self.claim_by_own_clock(max, idle).await;
        }
        Ok(self.claimed(entries, &deleted))
    }

    /// Claims entries from this id on. Returns the next cursor, the entries, and the ids of deleted entries.
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

    fn claimed(&self, entries: Vec<StreamEntry>, deleted: &[String]) -> Claimed {
        let deleted = deleted.iter().filter_map(|id| id.parse().ok());
        Claimed {
            entries: self.with_global_ids(entries),
            deleted: deleted
                .map(|id| self.queue.shard.to_global_id(id))
                .collect(),
        }
    }

    /// Claims entries that have been pending for longer than `idle` by this process' own clock.
    ///
    /// The server measures idle time by its clock. After that was set back, entries delivered before would not be idle until
    /// the clock has caught up, and the entries of a dead worker would stay pending for as long.
    async fn claim_by_own_clock(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let mut pending = cmd("XPENDING");
        pending.arg(&*self.queue.stream).arg(GROUP);
        pending.arg("-").arg("+").arg(MAX_SCANNED);
        let pending = self
            .queue
            .connection
            .query::<Vec<PendingEntry>>(&pending)
            .await;
        let pending = pending.map_err(|error| self.queue.classify(&error))?;
        let now = Instant::now();
        let pending_since = pending
            .into_iter()
            .filter(|(_, consumer, ..)| *consumer != self.name)
            .map(|(id, _, _, entries)| {
                let entry = (id, entries);
                let since = self.pending_since.get(&entry).copied().unwrap_or(now);
                (entry, since)
            })
            .collect();
        self.pending_since = pending_since;
        let overdue = self
            .pending_since
            .iter()
            .filter(|(_, since)| since.elapsed() > idle);
        let mut overdue: Vec<_> = overdue.map(|((id, _), _)| id.clone()).collect();
        overdue.truncate(max);
        let mut all = Claimed::default();
        for id in overdue {
            let reply = self.autoclaim(Duration::ZERO, &id, 1).await;
            let (_, Entries(entries), deleted) =
                reply.map_err(|error| self.queue.classify(&error))?;
            let claimed = self.claimed(entries, &deleted);
            all.entries.extend(claimed.entries);
            all.deleted.extend(claimed.deleted);
        }
        all.entries.sort_by_key(|entry| entry.id);
        Ok(all)
    }

    pub(crate) async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut ack = cmd("XACK");
        ack.arg(&*self.queue.stream).arg(GROUP);
        for id in ids {
            ack.arg(self.queue.shard.to_stream_id(*id).to_string());
        }
        match self.queue.connection.exec(&ack).await {
            Err(error) if is_group_missing(&error) => self.create_group().await,
            reply => reply.map_err(|error| self.queue.classify(&error)),
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
        // Without a stream this is called again after its creation, which happens together with the group.
        let info = self.queue.stream_info().await;
        let Some(StreamInfo { last_id, .. }) =
            info.map_err(|error| self.record_rejection(error))?
        else {
            self.needs_id_check = false;
            return Ok(());
        };
        if last_id.ms < ms {
            let mut raise = cmd("XSETID");
            raise.arg(&*self.queue.stream).arg(
                BallotId {
                    ms: ms.saturating_add(1),
                    seq: 0,
                }
                .to_string(),
            );
            let raised = self.queue.connection.exec(&raise).await;
            // A greater id was generated meanwhile.
            let raised = raised.or_else(|error| {
                if is_id_too_small(&error) {
                    Ok(())
                } else {
                    Err(error)
                }
            });
            raised.map_err(|error| self.record_rejection(self.queue.classify(&error)))?;
            // With several shards it is normal that a shard without recent votes is behind the others.
            if last_id.ms > 0 && self.queue.shard.is_only() {
                tracing::warn!(queue.last_id = %last_id, store.newest_ms = ms, "the queue's ids went backwards; raised its last id");
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

    /// Skips later id checks if the command was rejected: without the permission it is rejected every time.
    fn record_rejection(&mut self, error: QueueError) -> QueueError {
        self.needs_id_check = !matches!(error, QueueError::Rejected(_));
        error
    }

    pub(crate) async fn remove_idle_consumers(
        &mut self,
        idle: Duration,
    ) -> Result<u64, QueueError> {
        let (connection, stream) = (&self.queue.connection, &self.queue.stream);
        let arguments = [GROUP, &self.name, &idle.as_millis().to_string()];
        match scripts::REMOVE_IDLE_CONSUMERS
            .run(connection, stream, &arguments)
            .await
        {
            Ok(removed) => Ok(removed),
            Err(error) if is_group_missing(&error) || is_stream_missing(&error) => Ok(0),
            Err(error) => Err(self.queue.classify(&error)),
        }
    }

    /// Removes this consumer from the group unless it has pending entries: removing it would drop them.
    pub(crate) async fn remove_consumer(self) -> Result<(), QueueError> {
        let mut pending = cmd("XPENDING");
        pending
            .arg(&*self.queue.stream)
            .arg(GROUP)
            .arg("-")
            .arg("+")
            .arg(1)
            .arg(&self.name);
        let pending: Vec<Value> = self
            .queue
            .connection
            .query(&pending)
            .await
            .map_err(|error| self.queue.classify(&error))?;
        if !pending.is_empty() {
            return Ok(());
        }
        let mut remove = cmd("XGROUP");
        remove
            .arg("DELCONSUMER")
            .arg(&*self.queue.stream)
            .arg(GROUP)
            .arg(&self.name);
        self.queue
            .connection
            .exec(&remove)
            .await
            .map_err(|error| self.queue.classify(&error))
    }
}
