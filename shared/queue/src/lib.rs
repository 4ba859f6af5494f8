//! The queue: keeps every accepted ballot until a worker has stored it.
//!
//! Two backends with one behaviour, chosen by the URL: an embedded SQLite file, or a Redis stream read by a consumer
//! group. `tests/queue_contract.rs` holds what both promise. The latter may be divided among several servers, by voter.

mod payload;
mod redis;
mod settings;
mod sharded;
mod spans;
mod sqlite;
mod stream_entry;

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use cli::secret_url;
use embedded::{OpenError, SqlitePath};
use futures_util::future::join_all;
pub use payload::UnreadablePayload;
use poll::ballot::{Ballot, BallotId};
use redis::{RedisConsumer, RedisQueue};
pub use settings::{InvalidQueueSettings, QueueSettings};
pub use sharded::ShardedQueue;
pub use spans::ProducerSpan;
use sqlite::{SqliteConsumer, SqliteQueue};
pub use stream_entry::{InvalidBallot, StreamEntry};
use url::Url;

/// Where the queue is.
#[derive(Clone, Debug)]
pub enum QueueUrl {
    /// `sqlite://FILE`: embedded, for any number of processes on one machine.
    Sqlite(PathBuf),
    /// `redis://…` or `rediss://…`, several separated by commas: for any number of machines. One shard for each.
    Redis(Vec<::redis::ConnectionInfo>),
}

impl QueueUrl {
    /// Whether it is a file on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

/// Where it is, without secrets.
impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => embedded::absolute(path).display().fmt(f),
            Self::Redis(servers) => {
                f.write_str("Redis at ")?;
                for (index, server) in servers.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{}", server.addr())?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for QueueUrl {
    type Err = InvalidQueueUrl;

    /// Secrets may be inside, so no error repeats the URL.
    fn from_str(url: &str) -> Result<Self, InvalidQueueUrl> {
        if url.starts_with("sqlite://") {
            return url
                .parse()
                .map(|SqlitePath(path)| Self::Sqlite(path))
                .map_err(|why| InvalidQueueUrl(why.into()));
        }
        let urls: Vec<_> = url.split(',').map(str::trim).collect();
        if urls.len() > MOST_SHARDS {
            return Err(InvalidQueueUrl(format!(
                "{} URLs; allowed are {MOST_SHARDS} at most",
                urls.len()
            )));
        }
        let servers = urls.iter().enumerate().map(|(index, url)| {
            server(url).map_err(|why| {
                // Of several it is said which, for it cannot be shown.
                InvalidQueueUrl(match urls.len() {
                    1 => why,
                    count => format!(
                        "URL {} of {count}: {why}; a comma within a URL is written %2C",
                        index + 1
                    ),
                })
            })
        });
        servers.collect::<Result<_, _>>().map(Self::Redis)
    }
}

/// More would serve nobody, and each costs every worker connections of its own.
const MOST_SHARDS: usize = 64;

fn server(url: &str) -> Result<::redis::ConnectionInfo, String> {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some(scheme @ ("redis" | "rediss")) => {
            let parts = Url::parse(url).map_err(|error| {
                let hint = secret_url::HINT;
                format!("not a Redis URL ({error}); write redis://[USER:PASSWORD@]HOST[:PORT][/DB]; {hint}")
            })?;
            secret_url::check(&parts, |parameter| parameter == "protocol")?;
            if scheme == "rediss" {
                check_authorities()?;
            }
            ::redis::IntoConnectionInfo::into_connection_info(url).map_err(|error| {
                format!(
                    "not a Redis URL ({error}); write redis://[USER:PASSWORD@]HOST[:PORT][/DB]"
                )
            })
        }
        _ => Err(
            "allowed are sqlite://FILE, or redis://HOST and rediss://HOST, several separated by commas"
                .into(),
        ),
    }
}

/// A file of authorities that cannot be read would look like a server that cannot be reached.
fn check_authorities() -> Result<(), String> {
    let Some(file) = std::env::var_os("SSL_CERT_FILE") else {
        return Ok(());
    };
    std::fs::File::open(&file).map(drop).map_err(|error| {
        let file = PathBuf::from(&file);
        format!(
            "SSL_CERT_FILE: the file {} cannot be read: {error}",
            file.display()
        )
    })
}

/// The URL names no queue.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidQueueUrl(String);

/// How to reach and use the queue.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Where it is.
    pub url: QueueUrl,
    /// The key of the Redis stream. Polls that share a Redis need streams of their own.
    pub stream: String,
    /// The source of what is known about the server's durability.
    pub durability: DurabilityCheck,
    /// How long a voter waits for the queue at most. Past that the ballot's fate is unknown, and the voter is told so.
    pub enqueue_timeout: Duration,
}

/// The queue, or one of its shards. Cloning is cheap; clones share connections.
#[derive(Clone)]
pub enum Queue {
    /// An embedded file.
    Sqlite(SqliteQueue),
    /// A Redis stream.
    Redis(Box<RedisQueue>),
}

/// The table that holds ballots in an embedded file.
const TABLE: &str = "ballots";

impl Queue {
    /// What it is called where it is: the stream's key, or the table.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Sqlite(_) => TABLE,
            Self::Redis(queue) => queue.stream(),
        }
    }

    /// Puts a ballot into the queue, durably, and returns its place.
    ///
    /// # Errors
    /// The ballot is not in the queue, or, after [`QueueError::Timeout`] and [`QueueError::Unavailable`], may be.
    pub async fn enqueue(&self, ballot: &Ballot) -> Result<BallotId, QueueError> {
        self.enqueue_all(&[ballot]).await.remove(0)
    }

    /// Puts ballots into the queue as [`enqueue`](Self::enqueue) does, at less cost than one by one. Each has an outcome of
    /// its own, in their order; one says nothing about the others.
    pub async fn enqueue_all(&self, ballots: &[&Ballot]) -> Vec<Result<BallotId, QueueError>> {
        match self {
            Self::Sqlite(queue) => {
                let each = ballots.iter().map(|ballot| queue.enqueue(ballot));
                join_all(each).await
            }
            Self::Redis(queue) => queue.enqueue_all(ballots).await,
        }
    }

    /// Checks that the queue takes ballots.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn check_write(&self) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(queue) => queue.probe().await,
            Self::Redis(queue) => queue.check_write().await,
        }
    }

    /// Checks that the queue lets go of ballots.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn check_ack(&self) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(queue) => queue.probe().await,
            Self::Redis(queue) => queue.check_ack().await,
        }
    }

    /// The newest ballot that is still in the queue, whoever has it; `None`: there is none.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn last_id(&self) -> Result<Option<BallotId>, QueueError> {
        match self {
            Self::Sqlite(queue) => queue.last_id().await,
            Self::Redis(queue) => queue.last_id().await,
        }
    }

    /// Whether the queue's server is set up to keep what it accepted through a crash.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn durability(&self) -> Result<Durability, QueueError> {
        match self {
            Self::Sqlite(_) => Ok(Durability::Full),
            Self::Redis(queue) => queue.durability().await,
        }
    }

    /// A reader of the queue. `name` tells it from every other consumer there is.
    #[must_use]
    pub fn consumer(&self, name: &str) -> Consumer {
        match self {
            Self::Sqlite(queue) => Consumer::Sqlite(queue.consumer(name)),
            Self::Redis(queue) => Consumer::Redis(Box::new(queue.consumer(name))),
        }
    }
}

/// The source of what is known about the durability of the queue's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DurabilityCheck {
    /// The server's settings, which are asked.
    #[default]
    Checked,
    /// The operator: a service keeps the votes, and its settings cannot be asked.
    Managed,
}

/// Whether what is accepted survives a crash of the queue's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Full,
    /// The operator says that it does.
    Managed,
    /// It may not, or it cannot be told; the text says which setting is why.
    Degraded(String),
}

/// One of the workers' readers. What it was handed stays its own until acknowledged, or until it has been silent for so
/// long that another consumer claims it.
pub enum Consumer {
    /// Reads the embedded file.
    Sqlite(SqliteConsumer),
    /// Reads the Redis stream.
    Redis(Box<RedisConsumer>),
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Ballots that another consumer held too long, now this one's.
    pub deliveries: Vec<StreamEntry>,
    /// Ballots that were removed from the queue while a consumer held them: their content is gone.
    pub deleted: Vec<BallotId>,
}

/// What has been accepted and not yet acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Ballots handed to a consumer.
    pub pending: u64,
    /// Ballots handed to nobody yet.
    pub lag: u64,
    /// The oldest of them all.
    pub oldest: Option<BallotId>,
    /// The last id that was given, in the queue's own numbers.
    pub last: BallotId,
    /// Ballots that were ever added, where that is known.
    pub added: Option<u64>,
    /// Ballots that were removed before a consumer was handed them, as far as can be told until the next ones are handed
    /// out.
    pub removed: u64,
}

impl Backlog {
    /// Returns true if all that was accepted has been acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.oldest.is_none() && self.pending + self.lag == 0
    }
}

/// The time by which the queue's clock may be ahead of a worker's before its ids are taken for those of the future.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

impl Consumer {
    /// The next ballots nobody has been handed yet, oldest first, at most `max`; empty when none came within `wait`.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn read(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamEntry>, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.read(max, wait).await,
            Self::Redis(consumer) => consumer.read(max, wait).await,
        }
    }

    /// Takes over at most `max` ballots that have been held unacknowledged for `idle` or longer.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn claim(&mut self, max: usize, idle: Duration) -> Result<Claimed, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.claim(max, idle).await,
            Self::Redis(consumer) => consumer.claim(max, idle).await,
        }
    }

    /// Tells the queue that these ballots are stored. Repeating it does no harm.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn acknowledge(&mut self, ids: &[BallotId]) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.acknowledge(ids).await,
            Self::Redis(consumer) => consumer.acknowledge(ids).await,
        }
    }

    /// What has been accepted and not yet acknowledged, whoever has it.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn backlog(&mut self) -> Result<Backlog, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.backlog().await,
            Self::Redis(consumer) => consumer.backlog().await,
        }
    }

    /// Frees the room of acknowledged ballots, and tells what is left.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn trim(&mut self) -> Result<Backlog, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.backlog().await,
            Self::Redis(consumer) => consumer.trim().await,
        }
    }

    /// Whether the queue may be a new one, for which [`Self::raise_last_id`] has not been called yet.
    #[must_use]
    pub fn needs_id_check(&self) -> bool {
        match self {
            Self::Sqlite(_) => false, // its ids are in the file, with the ballots
            Self::Redis(consumer) => consumer.needs_id_check(),
        }
    }

    /// Makes every ballot from now on get an id above all ids of this millisecond, whatever the queue's clock says.
    ///
    /// # Errors
    /// The queue does not answer, or refuses.
    pub async fn raise_last_id(&mut self, ms: u64) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis(consumer) => consumer.raise_last_id(ms).await,
        }
    }

    /// Returns true if all voters' ballots are in this queue.
    #[must_use]
    pub fn is_only_shard(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Redis(consumer) => consumer.is_only_shard(),
        }
    }

    /// Makes ids begin anew from the queue's clock, if no ballot waits and the last id given is still this one. Returns
    /// whether they do.
    ///
    /// # Errors
    /// The queue does not answer, or refuses.
    pub async fn restart_ids(&mut self, last: BallotId) -> Result<bool, QueueError> {
        match self {
            Self::Sqlite(consumer) => consumer.restart_ids(last).await,
            Self::Redis(consumer) => consumer.restart_ids(last).await,
        }
    }

    /// Removes the names of other consumers that hold nothing and have been silent for `idle`, and tells how many.
    ///
    /// # Errors
    /// The queue does not answer, or refuses.
    pub async fn remove_idle_consumers(&mut self, idle: Duration) -> Result<u64, QueueError> {
        match self {
            Self::Sqlite(_) => Ok(0), // names are written beside what is held, and nowhere else
            Self::Redis(consumer) => consumer.remove_idle_consumers(idle).await,
        }
    }

    /// Leaves the group. What is still unacknowledged is left to be claimed.
    ///
    /// # Errors
    /// The queue does not answer.
    pub async fn remove_consumer(self) -> Result<(), QueueError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Redis(consumer) => consumer.remove_consumer().await,
        }
    }
}

/// The queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenQueueError {
    /// The embedded file.
    #[error(transparent)]
    Sqlite(#[from] OpenError),
    /// The connection's settings.
    #[error("QUEUE_URL")]
    Redis(#[from] ::redis::RedisError),
}

/// The queue did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// It did not answer in time; what was asked may still happen.
    #[error("the queue did not answer within {0:?}")]
    Timeout(Duration),
    /// It could not be reached, or the connection broke; what was asked may have happened.
    #[error("the queue cannot be reached: {0}")]
    Unavailable(String),
    /// It answered, and refused: out of memory, a full disk, missing rights.
    #[error("the queue refused: {0}")]
    Refused(String),
}

impl QueueError {
    /// What kind it is, in traces.
    fn kind(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_refused_with_what_is_allowed_and_without_its_secrets() {
        for url in [
            "",
            "localhost:6379",
            "amqp://u:secret@host",
            "redis://u:secret@host:port",
            "redis://u:secret@a,",
            "redis://u:secret@a,sqlite://secret",
            "redis://u:secret@a,amqp://u:secret@b",
            "redis://u:pass,secret@a",
        ] {
            let message = url.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(message.contains("redis://"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn an_unescaped_character_of_a_password_is_recognised() {
        for url in [
            "redis://u:12?secret@a",
            "redis://u:12/secret@a",
            "redis://u:12#secret@a",
            "redis://u:ab?secret@a",
        ] {
            let message = url.parse::<QueueUrl>().unwrap_err().to_string();
            assert!(message.contains("%3F"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn several_urls_are_told_without_their_secrets() {
        let url = "redis://u:secret@a, rediss://u:secret@b:7000,redis://c";
        let url = url.parse::<QueueUrl>().unwrap();
        assert_eq!(url.to_string(), "Redis at a:6379, b:7000, c:6379");
        assert!(!url.is_embedded());
    }

    #[test]
    fn of_several_urls_it_is_said_which_is_wrong() {
        let message = |url: &str| url.parse::<QueueUrl>().unwrap_err().to_string();
        assert!(message("redis://a,b").starts_with("URL 2 of 2: "));
        let many = vec!["redis://a"; 65].join(",");
        assert_eq!(message(&many), "65 URLs; allowed are 64 at most");
    }
}
