//! Direct access to the storage, without the application: sets clocks, renames tables, destroys consumer groups.

use std::collections::BTreeSet;

use ::redis::{
    Commands, Connection, cmd,
    streams::{StreamInfoGroupsReply, StreamPendingCountReply, StreamRangeReply},
};
use poll::ballot::BallotId;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{redis, storage::Storage};

/// The number of polls for two waiting transactions: enough for both to reach the lock.
const MAX_POLLS: usize = 60;
const GROUP: &str = "workers";
const START: &str = "-";
const END: &str = "+";

/// Direct connections to the queue and the store.
pub struct DirectAccess<'a> {
    storage: &'a Storage,
    /// Connection to the queue's server, if there is one.
    redis: Option<Connection>,
    /// Connection to the store's server, if there is one. An embedded store has one writer at a time.
    postgres: Option<PgConnection>,
}

impl<'a> DirectAccess<'a> {
    pub async fn of(storage: &'a Storage) -> Self {
        let (mut redis, mut postgres) = (None, None);
        if storage.queue_url.starts_with("redis") {
            redis = Some(redis::shared().expect("Redis runs").connect());
        }
        if storage.database_url.starts_with("postgres") {
            postgres = Some(PgConnection::connect(&storage.database_url).await.unwrap());
        }
        Self {
            storage,
            redis,
            postgres,
        }
    }

    /// Sets the millisecond of the next ids. It is ahead of all clocks, so it lasts until the next call. The sequence numbers
    /// start at 8, so that they soon have two digits.
    pub async fn set_clock(&mut self, ms: u64) {
        let last = BallotId { ms, seq: 7 };
        if let Some(redis) = &mut self.redis {
            let stream = &self.storage.stream;
            let id: String = redis
                .xadd(stream, last.to_string(), &[("no", "ballot")])
                .unwrap();
            let () = redis.xdel(stream, &[id]).unwrap();
        } else {
            let BallotId { ms, seq } = last;
            self.storage
                .execute(&format!("UPDATE last_ballot SET ms = {ms}, seq = {seq}"))
                .await;
        }
    }

    /// The ids of the ballots that the queue will deliver or redeliver.
    pub async fn queued_ballots(&mut self) -> BTreeSet<BallotId> {
        let id = |text: &str| text.parse().expect("it is an id");
        let Some(redis) = &mut self.redis else {
            let ids = "SELECT ms || '-' || seq, 0 FROM ballots";
            return self
                .storage
                .rows(ids)
                .await
                .iter()
                .map(|(text, _)| id(text))
                .collect();
        };
        let stream = &self.storage.stream;
        let entries: StreamRangeReply = redis.xrange_all(stream).unwrap();
        let entries = entries.ids.iter().map(|entry| id(&entry.id));
        let groups: StreamInfoGroupsReply = redis.xinfo_groups(stream).unwrap();
        let Some(group) = groups.groups.first() else {
            return entries.collect();
        };
        let delivered: BallotId = id(&group.last_delivered_id);
        let pending: StreamPendingCountReply = redis
            .xpending_count(stream, GROUP, START, END, 1000)
            .unwrap();
        let pending: BTreeSet<BallotId> = pending.ids.iter().map(|entry| id(&entry.id)).collect();
        entries
            .filter(|id| *id > delivered || pending.contains(id))
            .collect()
    }

    /// Locks the tally, which blocks all writers until [`Self::unlock_tally`].
    pub async fn lock_tally(&mut self) {
        if let Some(postgres) = &mut self.postgres {
            let lock = sqlx::raw_sql("BEGIN; LOCK TABLE tally").execute(postgres);
            lock.await.unwrap();
        }
    }

    /// Unlocks the tally once two writers wait for it, or after a while with fewer.
    pub async fn unlock_tally(&mut self) {
        let Some(postgres) = &mut self.postgres else {
            return;
        };
        for _ in 0..MAX_POLLS {
            let waiting = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted");
            let waiting: i64 = waiting.fetch_one(&mut *postgres).await.unwrap();
            if waiting >= 2 {
                break;
            }
        }
        sqlx::raw_sql("ROLLBACK").execute(postgres).await.unwrap();
    }

    /// Destroys the consumer group with its pending entries.
    pub async fn destroy_group(&mut self) {
        if let Some(redis) = &mut self.redis {
            let _: bool = redis.xgroup_destroy(&self.storage.stream, GROUP).unwrap();
        } else {
            self.storage
                .execute("UPDATE ballots SET consumer = NULL, delivered_ms = NULL")
                .await;
        }
    }

    /// Makes every use of the queue fail.
    pub async fn break_queue(&mut self) {
        if let Some(redis) = &mut self.redis {
            let stream = &self.storage.stream;
            let () = redis.rename(stream, moved(stream)).unwrap();
            let () = redis.set(stream, "no stream").unwrap();
        } else {
            self.storage
                .execute("ALTER TABLE ballots RENAME TO moved")
                .await;
        }
    }

    pub async fn restore_queue(&mut self) {
        if let Some(redis) = &mut self.redis {
            let stream = &self.storage.stream;
            let () = redis.rename(moved(stream), stream).unwrap();
        } else {
            self.storage
                .execute("ALTER TABLE moved RENAME TO ballots")
                .await;
        }
    }

    /// Makes every write of votes fail.
    pub async fn break_store(&self) {
        self.storage
            .execute("ALTER TABLE votes RENAME TO moved")
            .await;
    }

    pub async fn restore_store(&self) {
        self.storage
            .execute("ALTER TABLE moved RENAME TO votes")
            .await;
    }
}

impl Drop for DirectAccess<'_> {
    fn drop(&mut self) {
        if let Some(redis) = &mut self.redis {
            let _ = cmd("DEL").arg(&self.storage.stream).exec(redis);
        }
    }
}

fn moved(stream: &str) -> String {
    format!("{stream}:moved")
}
