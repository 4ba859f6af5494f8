//! The connection that all calls share.

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
    errors::{is_moved, is_unreachable, requires_reconnect},
    nodes::{Nodes, is_same, redirected},
};

/// However many calls fail: a server that is not usable yet is not flooded with connections.
const REPLACE_AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// One multiplexed connection: Redis commits all that arrives at once with one fsync, so more would not be faster.
///
/// A connection that breaks comes back by itself. One that stays open and has become useless is replaced: a master that
/// was made a replica keeps its clients, and something between us and the server may swallow all that is sent. In a
/// Redis Cluster it follows the stream to the node that has it. Cloning is cheap; clones share the connection.
#[derive(Clone)]
pub struct Connection {
    nodes: Arc<Nodes>,
    response_timeout: Duration,
    current: Arc<Mutex<Current>>,
    has_answered: Arc<AtomicBool>,
    is_looking: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Current {
    client: Arc<Client>,
    manager: ConnectionManager,
    since: Instant,
}

impl Connection {
    /// Connects with the first call, to the server of the own URL.
    pub fn new(nodes: Nodes, response_timeout: Duration) -> RedisResult<Self> {
        let current = Current::new(nodes.own(), response_timeout)?;
        Ok(Self {
            nodes: Arc::new(nodes),
            response_timeout,
            current: Arc::new(Mutex::new(current)),
            has_answered: Arc::default(),
            is_looking: Arc::default(),
        })
    }

    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut current = self.current();
        let mut answer = command.query_async(&mut current.manager).await;
        if let Err(error) = &answer
            && self.follows(error, &current)
        {
            // It did nothing but name the node, so this is no second time.
            current = self.current();
            answer = command.query_async(&mut current.manager).await;
        }
        self.observe(answer, &current)
    }

    pub async fn exec(&self, command: &Cmd) -> RedisResult<()> {
        self.query(command).await
    }

    /// Several at once. The stream may be moved in the middle of it, so none of them is sent again.
    pub async fn query_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let mut current = self.current();
        let answer = commands.query_async(&mut current.manager).await;
        self.observe(answer, &current)
    }

    /// Several at once, each with an answer of its own.
    pub async fn query_each<T: FromRedisValue>(
        &self,
        mut commands: Pipeline,
    ) -> Vec<RedisResult<T>> {
        let mut current = self.current();
        let answers = commands
            .ignore_errors()
            .query_async::<Vec<RedisResult<T>>>(&mut current.manager);
        let answers = answers
            .await
            .unwrap_or_else(|error| commands.cmd_iter().map(|_| Err(error.clone())).collect());
        let learnt = |answer| self.observe(answer, &current);
        answers.into_iter().map(learnt).collect()
    }

    /// Connects anew for the next call. Calls under way still get their answers, should there be any.
    pub fn replace(&self) {
        let current = self.current();
        self.replace_used(&current);
        self.failover_lookup(&current);
    }

    /// The server in use, for a connection of one's own.
    pub fn client(&self) -> Client {
        Client::clone(&self.current().client)
    }

    fn current(&self) -> Current {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes where the stream was moved to; `false`: this error names no node for good.
    fn follows(&self, error: &RedisError, used: &Current) -> bool {
        if !is_moved(error) {
            return false;
        }
        let Some(client) = redirected(error, &used.client) else {
            return false;
        };
        self.change(used, &client)
    }

    /// Leaves what was used for this server, unless somebody has left it already.
    fn change(&self, used: &Current, client: &Client) -> bool {
        let mut current = self.lock();
        if current.since != used.since {
            return true;
        }
        Current::new(client, self.response_timeout).is_ok_and(|fresh| {
            tracing::debug!(server = %client.get_connection_info().addr(), "the queue is asked at another server");
            *current = fresh;
            true
        })
    }

    fn observe<T>(&self, answer: RedisResult<T>, used: &Current) -> RedisResult<T> {
        match &answer {
            Ok(_) => self.has_answered.store(true, Ordering::Relaxed),
            Err(error) => {
                self.follows(error, used);
                if requires_reconnect(error) {
                    self.replace_used(used);
                }
                if is_unreachable(error) {
                    self.failover_lookup(used);
                }
            }
        }
        answer
    }

    /// Looks beside all calls, which are told meanwhile what is wrong.
    fn failover_lookup(&self, used: &Current) {
        if !self.nodes.has_others_than(&used.client)
            || self.is_looking.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (connection, used) = (self.clone(), used.clone());
        tokio::spawn(async move {
            let found = connection.nodes.locate().await;
            if !is_same(found, &used.client) {
                connection.change(&used, found);
            }
            sleep(REPLACE_AT_MOST_EVERY).await;
            connection.is_looking.store(false, Ordering::Relaxed);
        });
    }

    /// What may be wrong with the settings, where the server has never answered: a wrong guess about TLS looks like a
    /// server that says nothing, or hangs up.
    pub fn advice(&self) -> &'static str {
        if self.has_answered.load(Ordering::Relaxed) {
            return "";
        }
        match self.current().client.get_connection_info().addr() {
            ConnectionAddr::TcpTls { .. } => {
                "; QUEUE_URL begins with rediss://, so the server must speak TLS, with a certificate that is trusted here"
            }
            _ => "; should the server speak TLS only, QUEUE_URL must begin with rediss://",
        }
    }

    fn replace_used(&self, used: &Current) {
        let mut current = self.lock();
        if current.since == used.since && used.since.elapsed() >= REPLACE_AT_MOST_EVERY {
            // It was made once with the same settings, so it can be made again.
            if let Ok(fresh) = Current::new(&used.client, self.response_timeout) {
                tracing::debug!("the connection to the queue is replaced");
                *current = fresh;
            }
        }
    }
}

impl Current {
    fn new(client: &Client, response_timeout: Duration) -> RedisResult<Self> {
        let reconnecting = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout))
            // Whoever calls tries again, and is told meanwhile why.
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20));
        Ok(Self {
            client: Arc::new(client.clone()),
            manager: ConnectionManager::new_lazy_with_config(client.clone(), reconnecting)?,
            since: Instant::now(),
        })
    }
}
