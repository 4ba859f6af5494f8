//! The queue as a Redis stream, read by the consumer group `workers`.

mod answers;
mod backlog;
mod connection;
mod consumer;
mod errors;
mod nodes;
mod shard;

use std::{sync::Arc, time::Duration};

use redis::{Client, Cmd, ConnectionInfo, ProtocolVersion, RedisResult, cmd};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Durability, QueueConfig, QueueError, delivery::fields_of};
use crate::{
    backoff::Backoff,
    ballot::{Ballot, BallotId},
};
use answers::{Added, Entries};
use connection::Connection;
pub use consumer::RedisConsumer;
use errors::{classify, is_on_its_way};
use nodes::Nodes;
use shard::Shard;

const GROUP: &str = "workers";
/// The stream that probes write to: a server that answers PING may still refuse ballots.
const PROBE_KEY_SUFFIX: &str = ":probe";
/// What a command that adds a ballot seldom has more of: words, and bytes in them.
const ADD_WORDS: usize = 9;
const ADD_BYTES: usize = 160;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For everything no voter waits for.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A probe that waits longer has found out that the connection is of no use.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);
/// A peer that has acknowledged nothing for so long is gone: without this a connection whose packets vanish lives on
/// for a quarter of an hour.
#[cfg(target_os = "linux")]
const DEAD_PEER_TIMEOUT: Duration = Duration::from_secs(5);

/// A queue for each of these servers.
pub(super) fn open(
    servers: &[ConnectionInfo],
    config: &QueueConfig,
) -> RedisResult<Vec<RedisQueue>> {
    let clients = servers
        .iter()
        .map(|server| client(server.clone()))
        .collect::<RedisResult<Vec<_>>>()?;
    (0..clients.len())
        .map(|index| {
            let mut others = clients.clone();
            let own = others.remove(index);
            let shard = Shard::new(index, clients.len());
            Ok(RedisQueue {
                connection: Connection::new(Nodes::new(own, others))?,
                shard,
                stream: shard.key(&config.stream).into(),
                enqueue_timeout: config.enqueue_timeout,
            })
        })
        .collect()
}

fn client(server: ConnectionInfo) -> RedisResult<Client> {
    let tcp = server.tcp_settings().clone().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(DEAD_PEER_TIMEOUT);
    // With RESP3 the library notices a lost connection at once, and connects again before the next voter comes.
    let resp3 = server
        .redis_settings()
        .clone()
        .set_protocol(ProtocolVersion::RESP3);
    Client::open(server.set_tcp_settings(tcp).set_redis_settings(resp3))
}

/// A stream, as `vote` uses it.
#[derive(Clone)]
pub struct RedisQueue {
    connection: Connection,
    shard: Shard,
    stream: Arc<str>,
    enqueue_timeout: Duration,
}

impl RedisQueue {
    /// The stream's key.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) async fn enqueue_all(
        &self,
        ballots: &[&Ballot],
    ) -> Vec<Result<BallotId, QueueError>> {
        let late = Err(QueueError::Timeout(self.enqueue_timeout));
        let mut outcomes = vec![late.clone(); ballots.len()];
        let deadline = Instant::now() + self.enqueue_timeout;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(100));
        let mut left: Vec<_> = (0..ballots.len()).collect();
        loop {
            let mut adds = redis::Pipeline::with_capacity(left.len());
            for &index in &left {
                adds.add_command(self.add(ballots[index]));
            }
            let Ok(answers) = timeout_at(deadline, self.connection.query_each(adds)).await else {
                for index in left {
                    outcomes[index].clone_from(&late);
                }
                return outcomes;
            };
            let mut answers = answers.into_iter();
            left.retain(|&index| {
                let answer = answers.next().expect("as many answers as commands");
                // There was no connection, so nothing was sent, or another node has the stream, so nothing was done. What
                // was in flight when a connection broke is never sent again: should it have arrived, the second entry
                // would be the vote's place, and the first could still come late and overtake a newer vote.
                let is_left = matches!(
                    &answer,
                    Err(error) if error.is_connection_refusal() || is_on_its_way(error)
                );
                outcomes[index] = match answer {
                    Ok(Added(id)) => Ok(self.shard.to_ballot(id)),
                    Err(error) => Err(classify(&error)),
                };
                is_left
            });
            let wait = backoff.next_wait();
            if left.is_empty() || Instant::now() + wait >= deadline {
                return outcomes;
            }
            sleep(wait).await;
        }
    }

    fn add(&self, ballot: &Ballot) -> Cmd {
        let mut xadd = Cmd::with_capacity(ADD_WORDS, ADD_BYTES);
        xadd.arg("XADD").arg(&*self.stream).arg("*");
        for (name, value) in fields_of(ballot) {
            xadd.arg(name).arg(&*value);
        }
        xadd
    }

    /// Does what it takes to enqueue, beside the ballots.
    pub(super) async fn probe_enqueue(&self) -> Result<(), QueueError> {
        let mut xadd = cmd("XADD");
        xadd.arg(format!("{}{PROBE_KEY_SUFFIX}", self.stream));
        xadd.arg("MAXLEN").arg(1).arg("*").arg("probe").arg(1);
        self.probe(&xadd).await
    }

    /// Acknowledges a ballot that there never was.
    pub(super) async fn probe_acknowledge(&self) -> Result<(), QueueError> {
        let mut xack = cmd("XACK");
        xack.arg(&*self.stream).arg(GROUP).arg("0-0");
        self.probe(&xack).await
    }

    async fn probe(&self, command: &Cmd) -> Result<(), QueueError> {
        match timeout(PROBE_TIMEOUT, self.connection.exec(command)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(match classify(&error) {
                QueueError::Unavailable(why) if !error.is_connection_refusal() => {
                    QueueError::Unavailable(format!("{why}{}", self.connection.advice()))
                }
                other => other,
            }),
            Err(_) => {
                self.connection.replace();
                Err(QueueError::Unavailable(format!(
                    "it did not answer within {PROBE_TIMEOUT:?}{}",
                    self.connection.advice()
                )))
            }
        }
    }

    pub(super) async fn newest(&self) -> Result<Option<BallotId>, QueueError> {
        let mut last = cmd("XREVRANGE");
        last.arg(&*self.stream)
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(1);
        let Entries(last) = self
            .connection
            .query(&last)
            .await
            .map_err(|error| classify(&error))?;
        Ok(last
            .first()
            .map(|delivery| self.shard.to_ballot(delivery.id)))
    }

    pub(super) async fn durability(&self) -> Result<Durability, QueueError> {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("append*").arg("maxmemory-policy");
        let settings: Vec<(String, String)> = match self.connection.query(&get).await {
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
        RedisConsumer::new(self.clone(), name)
    }
}
