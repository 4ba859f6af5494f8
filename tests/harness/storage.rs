//! The storage backends, for tests that must pass on several of them.

use std::{str::FromStr, time::Duration};

use poll::{KnownPolls, Poll, Schedule};
use queue::{DurabilityCheck, Queue, QueueConfig, QueueUrl, ShardedQueue};
use sqlx::{Connection, PgConnection, SqliteConnection};
use store::{Store, StoreConfig, StoreUrl};
use tempfile::TempDir;

use super::{TIMEOUT, cluster, postgres, redis, unique};

/// A storage backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// An SQLite file.
    Embedded,
    /// Redis and Postgres.
    Servers,
    /// The nodes of a Redis Cluster, each a shard, and Postgres.
    Cluster,
}

/// Storage for one test.
pub struct Storage {
    pub folder: TempDir,
    pub queue_url: String,
    pub stream: String,
    pub database_url: String,
    pub database: Option<postgres::Database>,
}

impl Storage {
    /// Creates empty storage. Fails with the reason if its servers are not installed.
    pub async fn new(kind: Backend) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = format!("sqlite://{}", folder.path().join("voting.db").display());
        let servers = async |queue_url: String| {
            let database = postgres::shared()?.database().await;
            Ok::<_, String>((queue_url, database.url(), Some(database)))
        };
        let (queue_url, database_url, database) = match kind {
            Backend::Embedded => (file.clone(), file, None),
            Backend::Servers => servers(redis::shared()?.url.clone()).await?,
            Backend::Cluster => servers(cluster::shared()?.queue_url()).await?,
        };
        Ok(Self {
            folder,
            queue_url,
            stream: unique("ballots"),
            database_url,
            database,
        })
    }

    pub fn queue_config(&self) -> QueueConfig {
        QueueConfig {
            durability: DurabilityCheck::Checked,
            url: QueueUrl::from_str(&self.queue_url).expect("the URL is valid"),
            stream: self.stream.clone(),
            enqueue_timeout: TIMEOUT,
        }
    }

    pub fn store_config(&self) -> StoreConfig {
        StoreConfig {
            url: StoreUrl::from_str(&self.database_url).expect("the URL is valid"),
            timeout: TIMEOUT,
            max_connections: 4,
        }
    }

    /// The queue; with several shards the last one.
    pub async fn queue(&self) -> Queue {
        let shards = self.shards().await;
        shards.shards().last().expect("there is a shard").clone()
    }

    pub async fn shards(&self) -> ShardedQueue {
        ShardedQueue::open(&self.queue_config())
            .await
            .expect("the queue opens")
    }

    pub async fn store(&self) -> Store {
        let store = Store::open(&self.store_config())
            .await
            .expect("the store opens");
        store
            .migrate(&poll().id)
            .await
            .expect("the tables can be made");
        store
    }

    /// Migrates the tables to a version with the migration 9999.
    pub async fn migrate_to_newer_version(&self) {
        self.store().await;
        self.execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             SELECT 9999, 'of the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
    }

    /// The current votes, counted by the query of the original app.
    pub async fn count_votes(&self) -> Vec<(String, i64)> {
        let query = "SELECT vote, COUNT(id) AS count FROM votes GROUP BY vote ORDER BY vote";
        self.rows(query).await
    }

    /// The rows of a query with two columns, a text and a number.
    pub async fn rows(&self, query: &'static str) -> Vec<(String, i64)> {
        match self.connect().await {
            StoreConnection::Sqlite(mut file) => {
                sqlx::query_as(query).fetch_all(&mut file).await.unwrap()
            }
            StoreConnection::Postgres(mut server) => {
                sqlx::query_as(query).fetch_all(&mut server).await.unwrap()
            }
        }
    }

    /// Runs statements in the store.
    pub async fn execute(&self, statements: &str) {
        let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()));
        match self.connect().await {
            StoreConnection::Sqlite(mut file) => {
                statements.execute(&mut file).await.unwrap();
            }
            StoreConnection::Postgres(mut server) => {
                statements.execute(&mut server).await.unwrap();
            }
        }
    }

    /// Makes the reports of all workers old, as those of workers that ended long ago.
    pub async fn make_reports_old(&self) {
        let column = if self.database_url.starts_with("sqlite") {
            "reported_ms = 0"
        } else {
            "reported_at = to_timestamp(0)"
        };
        self.execute(&format!("UPDATE progress SET {column}")).await;
    }

    /// The same as `count_votes`; empty if the tables do not exist yet.
    pub async fn count_votes_if_ready(&self) -> Vec<(String, i64)> {
        let store = Store::open(&self.store_config())
            .await
            .expect("the store opens");
        let tally = store
            .tally(&poll().id)
            .await
            .map(|tally| tally.0)
            .unwrap_or_default();
        tally
            .into_iter()
            .map(|count| (count.option, count.votes))
            .collect()
    }

    /// Adds an entry to the queue directly, without the application; with several shards to the last one.
    pub async fn enqueue_raw(&self, fields: &[(&str, &str)]) {
        if self.queue_url.starts_with("redis") {
            let queue = self.queue().await;
            let mut add = ::redis::cmd("XADD");
            self.exec_on_owner_node(add.arg(queue.name()).arg("*").arg(fields));
        } else {
            let fields: serde_json::Map<_, _> = fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect();
            let fields = serde_json::Value::Object(fields)
                .to_string()
                .replace('\'', "''");
            let statement = format!(
                "UPDATE last_ballot SET seq = seq + 1;
                 INSERT INTO ballots (ms, seq, fields) SELECT ms, seq, '{fields}' FROM last_ballot;"
            );
            self.execute(&statement).await;
        }
    }

    /// Executes a command at the node of the Redis Cluster that owns the key.
    pub fn exec_on_owner_node(&self, command: &::redis::Cmd) {
        let done = self
            .queue_url
            .split(',')
            .map(|url| command.exec(&mut ::redis::Client::open(url)?.get_connection()?))
            .find(|done| !matches!(done, Err(error) if error.redirect_node().is_some()));
        done.expect("a node has the stream").unwrap();
    }

    async fn connect(&self) -> StoreConnection {
        if self.database_url.starts_with("sqlite") {
            StoreConnection::Sqlite(SqliteConnection::connect(&self.database_url).await.unwrap())
        } else {
            StoreConnection::Postgres(PgConnection::connect(&self.database_url).await.unwrap())
        }
    }
}

/// A direct connection to the store, without the application.
enum StoreConnection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Id of [`poll`].
pub const POLL_ID: &str = "6998f771";

/// The poll as the only known one.
pub fn known_polls() -> KnownPolls {
    KnownPolls::new(&poll())
}

/// A poll between cats and dogs that is always open.
pub fn poll() -> Poll {
    Poll {
        // As computed from the default settings.
        id: POLL_ID.parse().expect("the id is valid"),
        question: "Cats or Dogs?".into(),
        options: "a=Cats,b=Dogs".parse().expect("the options are valid"),
        schedule: Schedule::always(),
    }
}

/// The block timeout of a read of a ballot that is in the queue.
pub const READ_TIMEOUT: Duration = Duration::from_millis(300);

/// Makes each of these functions, which take [`Storage`], a test on this backend.
macro_rules! on_storage {
    ($module:ident, $kind:ident: $($test:ident),+ $(,)?) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::harness::skip::or_skip!(
                    $crate::harness::storage::Storage::new($crate::harness::storage::Backend::$kind).await
                )).await;
            })+
        }
    };
}
pub(crate) use on_storage;

/// The same on embedded storage and on servers.
macro_rules! on_both_storages {
    ($($test:tt)+) => {
        $crate::harness::storage::on_storage!(embedded, Embedded: $($test)+);
        $crate::harness::storage::on_storage!(servers, Servers: $($test)+);
    };
}
pub(crate) use on_both_storages;

/// The same on all backends.
macro_rules! on_all_storages {
    ($($test:tt)+) => {
        $crate::harness::storage::on_both_storages!($($test)+);
        $crate::harness::storage::on_storage!(cluster, Cluster: $($test)+);
    };
}
pub(crate) use on_all_storages;
