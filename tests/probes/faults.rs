//! A Redis and a Postgres with fault injection.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::harness::{
    postgres::{self, Database, PostgresServer},
    proxy::{Proxy, Toxic},
    redis::{self, RedisServer},
    storage::{Backend, Storage},
};

/// A fault of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is stopped; connections stay open.
    Frozen,
    /// The server is stopped, so connections are refused.
    Refused,
    /// Every reply takes longer than the timeout of a probe.
    Slow,
    /// The server replies, but rejects writes.
    ReadOnly,
}

pub const FAULTS: [Fault; 4] = [Fault::Frozen, Fault::Refused, Fault::Slow, Fault::ReadOnly];

const SLOW: Toxic = Toxic::Latency(Duration::from_secs(3));

/// Both servers, each behind a proxy.
pub struct Servers {
    pub storage: Storage,
    pub queue: Queue,
    pub store: Store,
}

pub struct Queue {
    server: RedisServer,
    proxy: Proxy,
}

pub struct Store {
    server: &'static PostgresServer,
    proxy: Proxy,
    /// The URL without the proxy.
    url: String,
    _database: Database,
}

impl Servers {
    pub async fn start() -> Result<Self, String> {
        let redis = redis::dedicated()?;
        let postgres: &'static _ = Box::leak(Box::new(postgres::dedicated()?));
        let database = postgres.database().await;
        let mut storage = Storage::new(Backend::Servers).await?;
        let (queue_proxy, queue_url) = Proxy::to(&redis.url).await;
        let (store_proxy, database_url) = Proxy::to(&database.url()).await;
        (storage.queue_url, storage.database_url) = (queue_url, database_url);
        Ok(Self {
            storage,
            queue: Queue {
                server: redis,
                proxy: queue_proxy,
            },
            store: Store {
                server: postgres,
                proxy: store_proxy,
                url: database.url(),
                _database: database,
            },
        })
    }
}

impl Queue {
    pub fn inject(&self, fault: Fault) {
        match fault {
            Fault::Frozen => self.server.server.freeze(),
            Fault::Refused => self.server.server.kill(),
            Fault::Slow => self.proxy.set_toxic(SLOW),
            Fault::ReadOnly => self.replicate("127.0.0.1", "1"),
        }
    }

    pub fn clear(&self, fault: Fault) {
        match fault {
            Fault::Frozen => self.server.server.thaw(),
            Fault::Refused => self.server.server.start(),
            Fault::Slow => self.proxy.set_toxic(Toxic::None),
            Fault::ReadOnly => self.replicate("NO", "ONE"),
        }
    }

    /// Makes the server a replica of this server, or a master with `NO ONE`.
    fn replicate(&self, host: &str, port: &str) {
        let mut follow = ::redis::cmd("REPLICAOF");
        self.server.exec(follow.arg(host).arg(port)).unwrap();
    }
}

impl Store {
    pub async fn inject(&self, fault: Fault) {
        match fault {
            Fault::Frozen => self.server.server.freeze(),
            Fault::Refused => self.server.server.kill(),
            Fault::Slow => self.proxy.set_toxic(SLOW),
            Fault::ReadOnly => self.allow_writes(false).await,
        }
    }

    pub async fn clear(&self, fault: Fault) {
        match fault {
            Fault::Frozen => self.server.server.thaw(),
            Fault::Refused => {
                self.server.server.start();
                self.server.wait_until_ready().await;
            }
            Fault::Slow => self.proxy.set_toxic(Toxic::None),
            Fault::ReadOnly => self.allow_writes(true).await,
        }
    }

    /// Allows or rejects writes, in open connections too.
    async fn allow_writes(&self, is_allowed: bool) {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let read_only = if is_allowed { "off" } else { "on" };
        for statement in [
            "SET default_transaction_read_only = off".to_owned(),
            format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}"),
            "SELECT pg_reload_conf()".to_owned(),
        ] {
            let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
            statement.execute(&mut connection).await.unwrap();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The server is leaked, so it is never dropped.
        self.server.server.kill();
    }
}
