//! What only somebody outside the application does to its storage: sets clocks, takes tables away, drops groups.

use std::collections::BTreeSet;

use ::redis::{
    Commands, Connection, cmd,
    streams::{StreamInfoGroupsReply, StreamPendingCountReply, StreamRangeReply},
};
use poll::ballot::BallotId;
use sqlx::{Connection as _, PgConnection};

use crate::harness::{redis, storage::Storage};

/// How often is looked whether two wait: longer than it takes them to come there.
const LOOKS: usize = 60;
const GROUP: &str = "workers";
const START: &str = "-";
const END: &str = "+";

/// The way around the application.
pub struct Outside<'a> {
    storage: &'a Storage,
    /// To the queue's server, if it has one.
    redis: Option<Connection>,
    /// To the store's server, likewise. An embedded store has one writer at a time.
    postgres: Option<PgConnection>,
}

impl<'a> Outside<'a> {
    pub async fn of(storage: &'a Storage) -> Self {
        let (mut redis, mut postgres) = (None, None);
        if storage.queue_url.starts_with("redis") {
            redis = Some(redis::shared().expect("there is one").connect());
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

    /// The next ballot gets an id of this millisecond, which is ahead of all clocks: a millisecond lasts as long as a
    /// test wants. Ids are soon at the tenth of it.
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

    /// The ballots that the queue still has to hand out, or would hand out again.
    pub async fn kept_by_the_queue(&mut self) -> BTreeSet<BallotId> {
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

    /// Nobody who writes gets past the tally, until [`Self::let_pass`].
    pub async fn close_tally(&mut self) {
        if let Some(postgres) = &mut self.postgres {
            let close = sqlx::raw_sql("BEGIN; LOCK TABLE tally").execute(postgres);
            close.await.unwrap();
        }
    }

    /// Lets pass who came to the tally: two at the same time, should there be two.
    pub async fn let_pass(&mut self) {
        let Some(postgres) = &mut self.postgres else {
            return;
        };
        for _ in 0..LOOKS {
            let waiting = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted");
            let waiting: i64 = waiting.fetch_one(&mut *postgres).await.unwrap();
            if waiting >= 2 {
                break;
            }
        }
        sqlx::raw_sql("ROLLBACK").execute(postgres).await.unwrap();
    }

    /// Nobody knows any more who was handed what.
    pub async fn lose_group(&mut self) {
        if let Some(redis) = &mut self.redis {
            let _: bool = redis.xgroup_destroy(&self.storage.stream, GROUP).unwrap();
        } else {
            self.storage
                .execute("UPDATE ballots SET consumer = NULL, delivered_ms = NULL")
                .await;
        }
    }

    /// Whoever uses the queue now gets an error.
    pub async fn take_queue_away(&mut self) {
        if let Some(redis) = &mut self.redis {
            let stream = &self.storage.stream;
            let () = redis.rename(stream, away(stream)).unwrap();
            let () = redis.set(stream, "no stream").unwrap();
        } else {
            self.storage
                .execute("ALTER TABLE ballots RENAME TO away")
                .await;
        }
    }

    pub async fn bring_queue_back(&mut self) {
        if let Some(redis) = &mut self.redis {
            let stream = &self.storage.stream;
            let () = redis.rename(away(stream), stream).unwrap();
        } else {
            self.storage
                .execute("ALTER TABLE away RENAME TO ballots")
                .await;
        }
    }

    /// Whoever stores votes now gets an error.
    pub async fn take_store_away(&self) {
        self.storage
            .execute("ALTER TABLE votes RENAME TO away")
            .await;
    }

    pub async fn bring_store_back(&self) {
        self.storage
            .execute("ALTER TABLE away RENAME TO votes")
            .await;
    }
}

impl Drop for Outside<'_> {
    fn drop(&mut self) {
        if let Some(redis) = &mut self.redis {
            let _ = cmd("DEL").arg(&self.storage.stream).exec(redis);
        }
    }
}

fn away(stream: &str) -> String {
    format!("{stream}:away")
}
