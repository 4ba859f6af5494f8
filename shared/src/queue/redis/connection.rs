//! The connection that all calls share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::{
    Client, Cmd, ConnectionAddr, FromRedisValue, Pipeline, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::Instant;

use super::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, errors::is_beyond_help};

/// However many calls fail: a server that is not usable yet is not flooded with connections.
const REPLACE_AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// One multiplexed connection: Redis commits all that arrives at once with one fsync, so more would not be faster.
///
/// A connection that breaks comes back by itself. One that stays open and has become useless is replaced: a master that
/// was made a replica keeps its clients, and something between us and the server may swallow all that is sent. Cloning
/// is cheap; clones share the connection.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    current: Arc<Mutex<Current>>,
    has_answered: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Current {
    manager: ConnectionManager,
    since: Instant,
}

impl Connection {
    /// Connects with the first call.
    pub fn new(client: Client) -> RedisResult<Self> {
        let current = Current::new(&client)?;
        Ok(Self {
            client,
            current: Arc::new(Mutex::new(current)),
            has_answered: Arc::default(),
        })
    }

    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut current = self.current();
        let answer = command.query_async(&mut current.manager).await;
        self.learn_from(answer, &current)
    }

    pub async fn exec(&self, command: &Cmd) -> RedisResult<()> {
        self.query(command).await
    }

    pub async fn query_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let mut current = self.current();
        let answer = commands.query_async(&mut current.manager).await;
        self.learn_from(answer, &current)
    }

    /// Connects anew for the next call. Calls under way still get their answers, should there be any.
    pub fn replace(&self) {
        self.replace_used(&self.current());
    }

    fn current(&self) -> Current {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn learn_from<T>(&self, answer: RedisResult<T>, used: &Current) -> RedisResult<T> {
        match &answer {
            Ok(_) => self.has_answered.store(true, Ordering::Relaxed),
            Err(error) if is_beyond_help(error) => self.replace_used(used),
            Err(_) => {}
        }
        answer
    }

    /// What may be wrong with the settings, where the server has never answered: a wrong guess about TLS looks like a
    /// server that says nothing, or hangs up.
    pub fn advice(&self) -> &'static str {
        if self.has_answered.load(Ordering::Relaxed) {
            return "";
        }
        match self.client.get_connection_info().addr() {
            ConnectionAddr::TcpTls { .. } => {
                "; QUEUE_URL begins with rediss://, so the server must speak TLS, with a certificate that is trusted here"
            }
            _ => "; should the server speak TLS only, QUEUE_URL must begin with rediss://",
        }
    }

    fn replace_used(&self, used: &Current) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.since == used.since && used.since.elapsed() >= REPLACE_AT_MOST_EVERY {
            // It was made once with the same settings, so it can be made again.
            if let Ok(fresh) = Current::new(&self.client) {
                tracing::debug!("the connection to the queue is replaced");
                *current = fresh;
            }
        }
    }
}

impl Current {
    fn new(client: &Client) -> RedisResult<Self> {
        let reconnecting = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            // Whoever calls tries again, and is told meanwhile why.
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(20));
        Ok(Self {
            manager: ConnectionManager::new_lazy_with_config(client.clone(), reconnecting)?,
            since: Instant::now(),
        })
    }
}
