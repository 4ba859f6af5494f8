//! The connection that all commands share.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    Client, Cmd, ConnectionAddr, FromRedisValue, Pipeline, RedisError, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::{Instant, sleep};

use super::{
    CONNECT_TIMEOUT,
    cluster::{Nodes, is_moved, is_same, redirected},
    errors::{is_unreachable, requires_reconnect},
};

/// Minimum time between two replacements of the connection, even if many commands fail: limits the rate of connections to a
/// server that is not usable yet.
const MIN_REPLACE_INTERVAL: Duration = Duration::from_millis(500);

/// One multiplexed connection. More would not be faster: Redis commits all commands that arrive together with one fsync.
///
/// A broken connection is reconnected. An open but unusable connection is replaced: a master that was demoted to a replica keeps
/// its clients' connections, and a middlebox may drop all packets. In a Redis Cluster the connection follows the stream to its
/// node. Cloning is cheap; clones share the connection.
#[derive(Clone)]
pub struct Connection {
    nodes: Arc<Nodes>,
    response_timeout: Duration,
    current: Arc<Mutex<Current>>,
    has_replied: Arc<AtomicBool>,
    is_lookup_running: Arc<AtomicBool>,
}

/// The current server and the connection to it.
#[derive(Clone)]
struct Current {
    client: Arc<Client>,
    manager: ConnectionManager,
    since: Instant,
}

impl Connection {
    /// Returns a connection to the shard's own server; it connects with the first command.
    pub fn new(nodes: Nodes, response_timeout: Duration) -> RedisResult<Self> {
        let current = Current::new(nodes.own(), response_timeout)?;
        Ok(Self {
            nodes: Arc::new(nodes),
            response_timeout,
            current: Arc::new(Mutex::new(current)),
            has_replied: Arc::default(),
            is_lookup_running: Arc::default(),
        })
    }

    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut current = self.current();
        let mut reply = command.query_async(&mut current.manager).await;
        if let Err(error) = &reply
            && self.follow_redirection(error, &current)
        {
            // The first node did not execute the command, so it is safe to send it again.
            current = self.current();
            reply = command.query_async(&mut current.manager).await;
        }
        self.observe(reply, &current)
    }

    pub async fn exec(&self, command: &Cmd) -> RedisResult<()> {
        self.query(command).await
    }

    /// Sends a pipeline. The stream may move in the middle of it, so no command is sent again.
    pub async fn query_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let mut current = self.current();
        let reply = commands.query_async(&mut current.manager).await;
        self.observe(reply, &current)
    }

    /// Sends a pipeline and returns one reply for each command.
    pub async fn query_each<T: FromRedisValue>(
        &self,
        mut commands: Pipeline,
    ) -> Vec<RedisResult<T>> {
        let mut current = self.current();
        let replies = commands
            .ignore_errors()
            .query_async::<Vec<RedisResult<T>>>(&mut current.manager);
        let replies = replies
            .await
            .unwrap_or_else(|error| commands.cmd_iter().map(|_| Err(error.clone())).collect());
        let observed = |reply| self.observe(reply, &current);
        replies.into_iter().map(observed).collect()
    }

    /// Replaces the connection for later commands. Commands in flight can still get their replies.
    pub fn replace(&self) {
        let current = self.current();
        self.replace_used(&current);
        self.failover_lookup(&current);
    }

    /// Returns the current server, for a separate connection.
    pub fn client(&self) -> Client {
        Client::clone(&self.current().client)
    }

    fn current(&self) -> Current {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches to the node to which the stream has moved. Returns false if the error names none.
    fn follow_redirection(&self, error: &RedisError, used: &Current) -> bool {
        if !is_moved(error) {
            return false;
        }
        let Some(client) = redirected(error, &used.client) else {
            return false;
        };
        self.switch_server(used, &client)
    }

    /// Switches to this server unless the connection in use was already replaced.
    fn switch_server(&self, used: &Current, client: &Client) -> bool {
        let mut current = self.lock();
        if current.since != used.since {
            return true;
        }
        Current::new(client, self.response_timeout).is_ok_and(|fresh| {
            let address = client.get_connection_info().addr();
            tracing::debug!(server.address = %address, "switched to another queue server");
            *current = fresh;
            true
        })
    }

    fn observe<T>(&self, reply: RedisResult<T>, used: &Current) -> RedisResult<T> {
        match &reply {
            Ok(_) => self.has_replied.store(true, Ordering::Relaxed),
            Err(error) => {
                self.follow_redirection(error, used);
                if requires_reconnect(error) {
                    self.replace_used(used);
                }
                if is_unreachable(error) {
                    self.failover_lookup(used);
                }
            }
        }
        reply
    }

    /// Looks for another server in the background. Commands fail with their own errors in the meantime.
    fn failover_lookup(&self, used: &Current) {
        if !self.nodes.has_alternative_to(&used.client)
            || self.is_lookup_running.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (connection, used) = (self.clone(), used.clone());
        tokio::spawn(async move {
            let found = connection.nodes.locate().await;
            if !is_same(found, &used.client) {
                connection.switch_server(&used, found);
            }
            sleep(MIN_REPLACE_INTERVAL).await;
            connection.is_lookup_running.store(false, Ordering::Relaxed);
        });
    }

    /// Returns advice about TLS if the server has never replied: with the wrong setting a server sends nothing or closes the
    /// connection.
    pub fn tls_advice(&self) -> &'static str {
        if self.has_replied.load(Ordering::Relaxed) {
            return "";
        }
        match self.current().client.get_connection_info().addr() {
            ConnectionAddr::TcpTls { .. } => {
                "; QUEUE_URL begins with rediss://, so the server must speak TLS, with a certificate that is trusted here"
            }
            _ => "; if the server speaks TLS only, QUEUE_URL must begin with rediss://",
        }
    }

    fn replace_used(&self, used: &Current) {
        let mut current = self.lock();
        if current.since == used.since && used.since.elapsed() >= MIN_REPLACE_INTERVAL {
            // Does not fail: the same settings made the connection in use.
            if let Ok(fresh) = Current::new(&used.client, self.response_timeout) {
                tracing::debug!("replaced the queue connection");
                *current = fresh;
            }
        }
    }
}

impl Current {
    fn new(client: &Client, response_timeout: Duration) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout))
            // Callers retry, and report the reason in the meantime.
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20));
        Ok(Self {
            client: Arc::new(client.clone()),
            manager: ConnectionManager::new_lazy_with_config(client.clone(), config)?,
            since: Instant::now(),
        })
    }
}
