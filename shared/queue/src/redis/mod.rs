//! The queue as a Redis stream, read by the consumer group `workers`.

mod backlog;
mod connection;
mod consumer;
mod errors;
mod greeting;
mod nodes;
mod replies;
mod scripts;
mod shard;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{Client, Cmd, ConnectionInfo, ProtocolVersion, RedisError, RedisResult, Value, cmd};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Durability, DurabilityCheck, QueueConfig, QueueError, stream_entry::fields_of};
use connection::Connection;
pub use consumer::RedisConsumer;
use errors::{classify, explain, is_id_too_small, is_resharding, with_advice};
use nodes::Nodes;
use poll::ballot::{Ballot, BallotId};
use replies::{Added, Entries, Hello};
use retry::Backoff;
use shard::Shard;

pub(super) const GROUP: &str = "workers";
/// The oldest major version of Redis that works.
const OLDEST_REDIS: u32 = 7;
/// The stream that probes write to: a server that answers PING may still refuse ballots.
const PROBE_KEY_SUFFIX: &str = ":probe";
/// What a command that adds a ballot seldom has more of: words, and bytes in them.
const ADD_WORDS: usize = 9;
const ADD_BYTES: usize = 160;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// At least; longer where a voter may wait longer.
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
    // A voter may be willing to wait for longer than others.
    let response_timeout = RESPONSE_TIMEOUT.max(config.enqueue_timeout);
    (0..clients.len())
        .map(|index| {
            let mut others = clients.clone();
            let own = others.remove(index);
            let shard = Shard::new(index, clients.len());
            Ok(RedisQueue {
                connection: Connection::new(Nodes::new(own, others), response_timeout)?,
                shard,
                stream: shard.key(&config.stream).into(),
                durability: config.durability,
                enqueue_timeout: config.enqueue_timeout,
                response_timeout,
                is_new_enough: Arc::default(),
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
    durability: DurabilityCheck,
    enqueue_timeout: Duration,
    response_timeout: Duration,
    is_new_enough: Arc<AtomicBool>,
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
                    Err(error) if error.is_connection_refusal() || is_resharding(error)
                );
                outcomes[index] = match answer {
                    Ok(Added(id)) => Ok(self.shard.to_ballot(id)),
                    Err(error) => Err(self.classify(&error)),
                };
                is_left
            });
            let wait = backoff.next_delay();
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

    /// Does what it takes to enqueue: writes an entry beside the ballots, and tries to add one to them that is older than
    /// all there are, which the server refuses at the very end.
    pub(super) async fn check_write(&self) -> Result<(), QueueError> {
        let mut beside = cmd("XADD");
        beside.arg(format!("{}{PROBE_KEY_SUFFIX}", self.stream));
        beside.arg("MAXLEN").arg(1).arg("*").arg("probe").arg(1);
        self.probe(&beside).await?;
        let mut among = cmd("XADD");
        among.arg(&*self.stream).arg("NOMKSTREAM");
        // Should there have been none ever, it is taken and goes at once.
        among.arg("MINID").arg("=").arg("0-2");
        among.arg("0-1").arg("probe").arg(1);
        self.probe(&among).await
    }

    /// Acknowledges a ballot that there never was.
    pub(super) async fn check_ack(&self) -> Result<(), QueueError> {
        let mut xack = cmd("XACK");
        xack.arg(&*self.stream).arg(GROUP).arg("0-0");
        self.probe(&xack).await
    }

    async fn probe(&self, command: &Cmd) -> Result<(), QueueError> {
        let probe = async {
            if !self.is_new_enough.load(Ordering::Relaxed) {
                self.check_version().await?;
            }
            match self.connection.exec(command).await {
                Err(error) if !is_id_too_small(&error) => Err(self.explained(&error).await),
                _ => Ok(()),
            }
        };
        timeout(PROBE_TIMEOUT, probe).await.unwrap_or_else(|_| {
            self.connection.replace();
            Err(QueueError::Unavailable(format!(
                "{}: no answer within {PROBE_TIMEOUT:?}{}",
                self.place(),
                self.connection.advice()
            )))
        })
    }

    /// Groups that count what they read, and scripts with flags, came with this version.
    async fn check_version(&self) -> Result<(), QueueError> {
        let hello = self.connection.query::<Hello>(&cmd("HELLO")).await;
        let version = match hello {
            Ok(Hello { version }) => version,
            Err(error) => return Err(self.explained(&error).await),
        };
        let major = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        if major.is_some_and(|major: u32| major < OLDEST_REDIS) {
            return Err(QueueError::Refused(format!(
                "{}: it is Redis {version}; {OLDEST_REDIS}.0 or newer is needed, or Valkey",
                self.place()
            )));
        }
        self.is_new_enough.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The server in use and the setting that names it.
    fn place(&self) -> String {
        let client = self.connection.client();
        format!(
            "Redis at {} (QUEUE_URL)",
            client.get_connection_info().addr()
        )
    }

    fn classify(&self, error: &RedisError) -> QueueError {
        classify(error, &self.place(), self.response_timeout)
    }

    /// With what may be wrong with the settings, where nothing else says what it is.
    async fn explained(&self, error: &RedisError) -> QueueError {
        match self.classify(error) {
            QueueError::Unavailable(why) if !explain(error).is_certain => {
                let client = self.connection.client();
                let refusal = greeting::refusal(client.get_connection_info().addr()).await;
                QueueError::Unavailable(match refusal {
                    Some(said) => format!("{}: {}", self.place(), with_advice(None, &said)),
                    None => format!("{why}{}", self.connection.advice()),
                })
            }
            other => other,
        }
    }

    pub(super) async fn last_id(&self) -> Result<Option<BallotId>, QueueError> {
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
            .map_err(|error| self.classify(&error))?;
        Ok(last
            .first()
            .map(|delivery| self.shard.to_ballot(delivery.id)))
    }

    pub(super) async fn durability(&self) -> Result<Durability, QueueError> {
        if self.durability == DurabilityCheck::Managed {
            return Ok(Durability::Managed);
        }
        let mut get = cmd("CONFIG");
        get.arg("GET").arg("append*").arg("maxmemory-policy");
        get.arg("min-replicas-to-write");
        let settings: Vec<(String, String)> = match self.connection.query(&get).await {
            Ok(settings) => settings,
            Err(error) => match self.classify(&error) {
                QueueError::Refused(why) => {
                    return Ok(Durability::Degraded(format!(
                        "its settings cannot be read, and QUEUE_DURABILITY is not managed: {why}"
                    )));
                }
                other => return Err(other),
            },
        };
        let setting = |name: &str| {
            let found = settings.iter().find(|(setting, _)| setting == name);
            found.map_or("unknown", |(_, value)| value)
        };
        let wanted = [
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("maxmemory-policy", "noeviction"),
        ];
        let weaker = wanted.iter().filter_map(|&(name, wanted)| {
            let value = setting(name);
            (value != wanted).then(|| format!("{name} is {value} and should be {wanted}"))
        });
        let mut weaker: Vec<_> = weaker.collect();
        weaker.extend(
            self.risk_of_failover(setting("min-replicas-to-write"))
                .await,
        );
        Ok(if weaker.is_empty() {
            Durability::Full
        } else {
            Durability::Degraded(weaker.join(", "))
        })
    }

    /// What a failover to a replica may lose, as replicas follow asynchronously; `None`: there are none, or enough of them
    /// must follow closely.
    async fn risk_of_failover(&self, replicas_needed: &str) -> Option<String> {
        // A user without this right has no replicas, as far as can be told.
        let role = self
            .connection
            .query::<Vec<Value>>(&cmd("ROLE"))
            .await
            .ok()?;
        let replicas = match role.get(2) {
            Some(Value::Array(replicas)) if !replicas.is_empty() => replicas.len(),
            _ => return None,
        };
        (replicas_needed == "0").then(|| {
            format!(
                "it has {replicas} replicas and min-replicas-to-write is 0, so a failover may lose all votes that had not \
                 reached a replica; with 1 it loses those of the last seconds at most (min-replicas-max-lag)"
            )
        })
    }

    pub(super) fn consumer(&self, name: &str) -> RedisConsumer {
        RedisConsumer::new(self.clone(), name)
    }
}
