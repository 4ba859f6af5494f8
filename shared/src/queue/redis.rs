//! The queue as a Redis stream, read by the consumer group `workers`.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, FromRedisValue, RedisError, RedisResult,
    ServerErrorKind, Value,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
    cmd,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Backlog, Claimed, Delivery, Durability, QueueConfig, QueueError, delivery::fields_of};
use crate::{
    backoff::Backoff,
    ballot::{Ballot, BallotId},
};

const GROUP: &str = "workers";
/// Written by every probe: a server that answers PING may still refuse writes.
const PROBE_KEY_SUFFIX: &str = ":probe";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For everything no voter waits for.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that has acknowledged nothing for so long is gone: without this a connection whose packets vanish lives on
/// for a quarter of an hour.
#[cfg(target_os = "linux")]
const DEAD_PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// The stream, as `vote` uses it.
#[derive(Clone)]
pub struct RedisQueue {
    client: Client,
    /// One multiplexed connection: Redis commits all that arrives at once with one fsync, so more would not be faster.
    connection: ConnectionManager,
    stream: Arc<str>,
    enqueue_timeout: Duration,
}

impl RedisQueue {
    pub(super) fn new(info: ConnectionInfo, config: &QueueConfig) -> RedisResult<Self> {
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(DEAD_PEER_TIMEOUT);
        let client = Client::open(info.set_tcp_settings(tcp))?;
        let reconnecting = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(500));
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), reconnecting)?;
        Ok(Self {
            client,
            connection,
            stream: config.stream.as_str().into(),
            enqueue_timeout: config.enqueue_timeout,
        })
    }

    pub(super) async fn enqueue(&self, ballot: &Ballot) -> Result<BallotId, QueueError> {
        let mut xadd = cmd("XADD");
        xadd.arg(&*self.stream).arg("*");
        for (name, value) in fields_of(ballot) {
            xadd.arg(name).arg(value);
        }
        let deadline = Instant::now() + self.enqueue_timeout;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        loop {
            let mut connection = self.connection.clone();
            let answer = timeout_at(deadline, xadd.query_async::<Added>(&mut connection)).await;
            match answer.map_err(|_| QueueError::Timeout(self.enqueue_timeout))? {
                Ok(Added(id)) => return Ok(id),
                // The server restarted or failed over. Sending again is safe: should the first one have arrived after
                // all, both entries carry the same vote and the newer one counts.
                Err(error) if error.is_connection_dropped() => {
                    let wait = backoff.next_wait();
                    if Instant::now() + wait >= deadline {
                        return Err(classify(&error));
                    }
                    sleep(wait).await;
                }
                Err(error) => return Err(classify(&error)),
            }
        }
    }

    pub(super) async fn probe(&self) -> Result<(), QueueError> {
        let mut set = cmd("SET");
        set.arg(format!("{}{PROBE_KEY_SUFFIX}", self.stream))
            .arg(1)
            .arg("EX")
            .arg(60);
        set.exec_async(&mut self.connection.clone())
            .await
            .map_err(|error| classify(&error))
    }

    pub(super) async fn durability(&self) -> Result<Durability, QueueError> {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("append*").arg("maxmemory-policy");
        let settings: Vec<(String, String)> =
            match get.query_async(&mut self.connection.clone()).await {
                Ok(settings) => settings,
                Err(error) => match classify(&error) {
                    QueueError::Refused(why) => {
                        return Ok(Durability::Weaker(format!(
                            "its settings cannot be read: {why}"
                        )));
                    }
                    other => return Err(other),
                },
            };
        let weaker = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        ]
        .iter()
        .filter_map(|(name, wanted)| {
            let value = settings
                .iter()
                .find(|(setting, _)| setting == name)
                .map_or("unknown", |(_, value)| value);
            (value != *wanted).then(|| format!("{name} is {value} and should be {wanted}"))
        })
        .collect::<Vec<_>>();
        Ok(if weaker.is_empty() {
            Durability::Full
        } else {
            Durability::Weaker(weaker.join(", "))
        })
    }

    pub(super) fn consumer(&self, name: &str) -> RedisConsumer {
        RedisConsumer {
            queue: self.clone(),
            reader: None,
            name: name.to_owned(),
            claim_from: START.to_owned(),
        }
    }
}

const START: &str = "0-0";

/// One consumer of the group.
pub struct RedisConsumer {
    queue: RedisQueue,
    /// A connection of its own: while it blocks for the next entry, nothing else could pass on a shared one.
    reader: Option<MultiplexedConnection>,
    name: String,
    /// Where the next claim goes on in the list of pending entries.
    claim_from: String,
}

impl RedisConsumer {
    pub(super) async fn next(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP")
            .arg(GROUP)
            .arg(&self.name)
            .arg("COUNT")
            .arg(max);
        // BLOCK 0 would wait for ever.
        read.arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        read.arg("STREAMS").arg(&*self.queue.stream).arg(">");
        let answer = match self.reader(wait).await {
            Ok(reader) => read.query_async::<Streams>(reader).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Streams(deliveries)) => Ok(deliveries),
            Err(error) if is_group_missing(&error) => {
                self.create_group().await?;
                Ok(Vec::new())
            }
            Err(error) => {
                self.reader = None;
                Err(classify(&error))
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
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?
        };
        Ok(self.reader.insert(reader))
    }

    /// From the beginning of the stream, never from its end: whatever is there has not been counted for sure.
    async fn create_group(&mut self) -> Result<(), QueueError> {
        let mut create = cmd("XGROUP");
        create
            .arg("CREATE")
            .arg(&*self.queue.stream)
            .arg(GROUP)
            .arg(0)
            .arg("MKSTREAM");
        match create.exec_async(&mut self.queue.connection).await {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()), // another worker was first
            answer => answer.map_err(|error| classify(&error)),
        }
    }

    pub(super) async fn claim(
        &mut self,
        max: usize,
        idle: Duration,
    ) -> Result<Claimed, QueueError> {
        let mut claim = cmd("XAUTOCLAIM");
        claim.arg(&*self.queue.stream).arg(GROUP).arg(&self.name);
        claim
            .arg(idle.as_millis().to_string())
            .arg(&self.claim_from)
            .arg("COUNT")
            .arg(max);
        let answer = claim
            .query_async::<(String, Entries, Vec<String>)>(&mut self.queue.connection)
            .await;
        let (next, Entries(deliveries), deleted) = match answer {
            Ok(answer) => answer,
            Err(error) if is_group_missing(&error) => {
                self.create_group().await?;
                return Ok(Claimed::default());
            }
            Err(error) => return Err(classify(&error)),
        };
        self.claim_from = next;
        let lost = deleted.iter().filter_map(|id| id.parse().ok()).collect();
        Ok(Claimed { deliveries, lost })
    }

    pub(super) async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut ack = cmd("XACK");
        ack.arg(&*self.queue.stream).arg(GROUP);
        for id in ids {
            ack.arg(id.to_string());
        }
        match ack.exec_async(&mut self.queue.connection).await {
            Err(error) if is_group_missing(&error) => self.create_group().await,
            answer => answer.map_err(|error| classify(&error)),
        }
    }

    pub(super) async fn trim(&mut self) -> Result<Backlog, QueueError> {
        let Some(group) = self.group().await? else {
            return Ok(Backlog::default());
        };
        // Asked after the group: what was delivered in between has greater ids than `delivered`, so the bound holds.
        let pending = self.pending().await?;
        let bound = match pending.first {
            Some(first) => first.min(after(group.delivered)),
            None => after(group.delivered),
        };
        let mut trim = cmd("XTRIM");
        trim.arg(&*self.queue.stream)
            .arg("MINID")
            .arg("=")
            .arg(bound.to_string());
        let mut first = cmd("XRANGE");
        first
            .arg(&*self.queue.stream)
            .arg(format!("({}", group.delivered))
            .arg("+")
            .arg("COUNT")
            .arg(1);
        let mut length = cmd("XLEN");
        length.arg(&*self.queue.stream);
        let (Entries(undelivered), length): (Entries, u64) = redis::pipe()
            .add_command(trim)
            .ignore()
            .add_command(first)
            .add_command(length)
            .query_async(&mut self.queue.connection)
            .await
            .map_err(|error| classify(&error))?;
        let oldest_undelivered = undelivered.first().map(|delivery| delivery.id);
        Ok(Backlog {
            pending: pending.count,
            undelivered: group
                .lag
                .unwrap_or_else(|| length.saturating_sub(pending.count)),
            oldest: pending.first.into_iter().chain(oldest_undelivered).min(),
        })
    }

    async fn group(&mut self) -> Result<Option<Group>, QueueError> {
        let mut info = cmd("XINFO");
        info.arg("GROUPS").arg(&*self.queue.stream);
        match info.query_async::<Groups>(&mut self.queue.connection).await {
            Ok(Groups(group)) => Ok(group),
            Err(error) if is_stream_missing(&error) => Ok(None),
            Err(error) => Err(classify(&error)),
        }
    }

    async fn pending(&mut self) -> Result<Pending, QueueError> {
        let mut pending = cmd("XPENDING");
        pending.arg(&*self.queue.stream).arg(GROUP);
        pending
            .query_async(&mut self.queue.connection)
            .await
            .map_err(|error| classify(&error))
    }

    /// Removes this consumer's name from the group, if it holds nothing: removing it would drop what it holds.
    pub(super) async fn leave(mut self) -> Result<(), QueueError> {
        let mut held = cmd("XPENDING");
        held.arg(&*self.queue.stream)
            .arg(GROUP)
            .arg("-")
            .arg("+")
            .arg(1)
            .arg(&self.name);
        let held: Vec<Value> = held
            .query_async(&mut self.queue.connection)
            .await
            .map_err(|error| classify(&error))?;
        if !held.is_empty() {
            return Ok(());
        }
        let mut leave = cmd("XGROUP");
        leave
            .arg("DELCONSUMER")
            .arg(&*self.queue.stream)
            .arg(GROUP)
            .arg(&self.name);
        leave
            .exec_async(&mut self.queue.connection)
            .await
            .map_err(|error| classify(&error))
    }
}

/// The first id greater than this one.
fn after(id: BallotId) -> BallotId {
    match id.seq.checked_add(1) {
        Some(seq) => BallotId { seq, ..id },
        None => BallotId {
            ms: id.ms.saturating_add(1),
            seq: 0,
        },
    }
}

fn is_group_missing(error: &RedisError) -> bool {
    error.code() == Some("NOGROUP")
}

/// XINFO answers a missing key with a plain ERR.
fn is_stream_missing(error: &RedisError) -> bool {
    error
        .detail()
        .is_some_and(|detail| detail.contains("no such key"))
}

fn classify(error: &RedisError) -> QueueError {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, TryAgain};
    use redis::ErrorKind::Server;
    if error.is_timeout() {
        QueueError::Timeout(RESPONSE_TIMEOUT)
    } else if error.is_io_error()
        || error.is_connection_dropped()
        || matches!(
            error.kind(),
            Server(BusyLoading | MasterDown | ClusterDown | TryAgain)
        )
    {
        QueueError::Unavailable(error.to_string())
    } else {
        QueueError::Refused(error.to_string())
    }
}

// The answers, read straight into our own types: redis' own stream types put every entry into a hash map.

/// The id that XADD returns.
struct Added(BallotId);

impl FromRedisValue for Added {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        Ok(Self(parse_id(&String::from_redis_value(value)?)?))
    }
}

/// XREADGROUP: entries of one stream, or nil.
struct Streams(Vec<Delivery>);

impl FromRedisValue for Streams {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let streams = Option::<Vec<(Value, Entries)>>::from_redis_value(value)?.unwrap_or_default();
        Ok(Self(
            streams
                .into_iter()
                .flat_map(|(_, Entries(deliveries))| deliveries)
                .collect(),
        ))
    }
}

/// Entries as XRANGE and XAUTOCLAIM return them.
struct Entries(Vec<Delivery>);

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let entries = Vec::<(String, Vec<Vec<u8>>)>::from_redis_value(value)?;
        let deliveries = entries
            .into_iter()
            .map(|(id, fields)| Ok(Delivery::new(parse_id(&id)?, in_pairs(fields))));
        Ok(Self(
            deliveries.collect::<Result<_, redis::ParsingError>>()?,
        ))
    }
}

fn in_pairs(flat: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(|| flat.next().zip(flat.next())).collect()
}

/// What XINFO GROUPS says of our group.
struct Group {
    delivered: BallotId,
    /// Redis cannot always tell.
    lag: Option<u64>,
}

struct Groups(Option<Group>);

impl FromRedisValue for Groups {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        for mut group in Vec::<std::collections::HashMap<String, Value>>::from_redis_value(value)? {
            let mut field = |name: &str| group.remove(name).unwrap_or(Value::Nil);
            if String::from_redis_value(field("name"))? == GROUP {
                let delivered = parse_id(&String::from_redis_value(field("last-delivered-id"))?)?;
                return Ok(Self(Some(Group {
                    delivered,
                    lag: Option::from_redis_value(field("lag"))?,
                })));
            }
        }
        Ok(Self(None))
    }
}

/// What XPENDING says in short.
struct Pending {
    count: u64,
    first: Option<BallotId>,
}

impl FromRedisValue for Pending {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let (count, first, _, _) = <(u64, Option<String>, Value, Value)>::from_redis_value(value)?;
        Ok(Self {
            count,
            first: first.map(|id| parse_id(&id)).transpose()?,
        })
    }
}

fn parse_id(id: &str) -> Result<BallotId, redis::ParsingError> {
    id.parse().map_err(|error: crate::ballot::InvalidBallotId| {
        redis::ParsingError::from(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_for_trimming_is_just_after_the_last_delivered() {
        assert_eq!(
            after(BallotId { ms: 5, seq: 0 }),
            BallotId { ms: 5, seq: 1 }
        );
        assert_eq!(
            after(BallotId {
                ms: 5,
                seq: u64::MAX
            }),
            BallotId { ms: 6, seq: 0 }
        );
    }

    #[test]
    fn fields_come_in_pairs() {
        let flat = ["a", "1", "b", "2"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
        assert_eq!(
            in_pairs(flat),
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"2".to_vec())
            ]
        );
    }
}
