//! The stream's backlog, and trimming of acknowledged entries.

use redis::cmd;

use super::{
    GROUP, RedisQueue,
    errors::is_stream_missing,
    replies::{Entries, Group, Groups, PendingSummary, StreamInfo},
};
use crate::{Backlog, QueueError};
use poll::ballot::BallotId;

impl RedisQueue {
    pub(super) async fn backlog(&self) -> Result<Backlog, QueueError> {
        self.read_backlog(false).await
    }

    /// Trims acknowledged entries and returns the backlog.
    pub(super) async fn trim(&self) -> Result<Backlog, QueueError> {
        self.read_backlog(true).await
    }

    async fn read_backlog(&self, trims: bool) -> Result<Backlog, QueueError> {
        // Read before the group: entries that are delivered in between then count as delivered and are not missed.
        let Some(stream) = self.stream_info().await? else {
            return Ok(Backlog::default());
        };
        let Some(group) = self.group_info().await? else {
            return self.backlog_without_group(&stream).await;
        };
        // Read after the group: entries that were delivered in between have ids greater than `last_delivered`, so the bound holds.
        let pending = self.pending().await?;
        let next = successor(group.last_delivered);
        let bound = pending.oldest.into_iter().chain(next).min();
        let trim = bound.map_or(Trim::All, Trim::Below);
        let undelivered = format!("({}", group.last_delivered);
        let undelivered = match next {
            Some(_) => (&*undelivered, "+"),
            None => EMPTY_RANGE,
        };
        let (oldest_undelivered, length) = self
            .trim_and_read(undelivered, trims.then_some(trim))
            .await?;
        Ok(Backlog {
            pending: pending.count,
            lag: match oldest_undelivered {
                // Redis 7.0 counts an entry that was deleted after all were delivered as undelivered.
                None => 0,
                Some(_) => group
                    .lag
                    .unwrap_or_else(|| length.saturating_sub(pending.count))
                    .max(1),
            },
            oldest: pending
                .oldest
                .into_iter()
                .chain(oldest_undelivered)
                .min()
                .map(|oldest| self.shard.to_global_id(oldest)),
            last: stream.last_id,
            added: stream.entries_added,
            removed: deleted_undelivered(&stream, &group),
        })
    }

    /// Returns the backlog before a worker has created the group: all entries of the stream.
    async fn backlog_without_group(&self, stream: &StreamInfo) -> Result<Backlog, QueueError> {
        let (oldest, lag) = self.trim_and_read(("-", "+"), None).await?;
        Ok(Backlog {
            lag,
            oldest: oldest.map(|oldest| self.shard.to_global_id(oldest)),
            last: stream.last_id,
            added: stream.entries_added,
            ..Backlog::default()
        })
    }

    /// Trims the stream, then returns the oldest entry in a range of ids and the number of all entries.
    async fn trim_and_read(
        &self,
        (from, to): (&str, &str),
        trim: Option<Trim>,
    ) -> Result<(Option<BallotId>, u64), QueueError> {
        let stream = &*self.stream;
        let mut commands = redis::pipe();
        if let Some(bound) = trim {
            let trim = commands.cmd("XTRIM").arg(stream);
            match bound {
                Trim::Below(bound) => trim.arg("MINID").arg("=").arg(bound.to_string()),
                Trim::All => trim.arg("MAXLEN").arg("=").arg(0),
            };
            trim.ignore();
        }
        let range = commands.cmd("XRANGE").arg(stream);
        range.arg(from).arg(to).arg("COUNT").arg(1);
        commands.cmd("XLEN").arg(stream);
        let (Entries(first), length): (Entries, u64) = self
            .connection
            .query_all(&commands)
            .await
            .map_err(|error| self.classify(&error))?;
        Ok((first.first().map(|entry| entry.id), length))
    }

    /// Returns `None` if there is no stream.
    pub(super) async fn stream_info(&self) -> Result<Option<StreamInfo>, QueueError> {
        let mut info = cmd("XINFO");
        info.arg("STREAM").arg(&*self.stream);
        match self.connection.query(&info).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if is_stream_missing(&error) => Ok(None),
            Err(error) => Err(self.classify(&error)),
        }
    }

    /// Returns `None` if there is no consumer group or no stream.
    pub(super) async fn group_info(&self) -> Result<Option<Group>, QueueError> {
        let mut info = cmd("XINFO");
        info.arg("GROUPS").arg(&*self.stream);
        match self.connection.query::<Groups>(&info).await {
            Ok(Groups(group)) => Ok(group),
            Err(error) if is_stream_missing(&error) => Ok(None),
            Err(error) => Err(self.classify(&error)),
        }
    }

    async fn pending(&self) -> Result<PendingSummary, QueueError> {
        let mut pending = cmd("XPENDING");
        pending.arg(&*self.stream).arg(GROUP);
        self.connection
            .query(&pending)
            .await
            .map_err(|error| self.classify(&error))
    }
}

/// Returns the number of entries that were deleted before they were delivered. Workers trim only delivered ones.
fn deleted_undelivered(stream: &StreamInfo, group: &Group) -> u64 {
    let (Some(added), Some(read)) = (stream.entries_added, group.entries_read) else {
        return 0;
    };
    let deleted = added.saturating_sub(stream.length);
    deleted.saturating_sub(read)
}

/// An empty range of ids.
const EMPTY_RANGE: (&str, &str) = ("+", "-");

/// Entries to trim.
#[derive(Clone, Copy)]
enum Trim {
    /// Entries with smaller ids.
    Below(BallotId),
    /// All entries: the last one has the greatest possible id, so none can be added meanwhile.
    All,
}

/// Returns the next greater id; `None` if there is none.
fn successor(id: BallotId) -> Option<BallotId> {
    match id.seq.checked_add(1) {
        Some(seq) => Some(BallotId { seq, ..id }),
        None => id.ms.checked_add(1).map(|ms| BallotId { ms, seq: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_undelivered_entries_count_as_deleted() {
        let id = BallotId { ms: 5, seq: 0 };
        let deleted = |added, length, read| {
            let stream = StreamInfo {
                last_id: id,
                length,
                entries_added: added,
            };
            let group = Group {
                last_delivered: id,
                lag: None,
                entries_read: read,
            };
            deleted_undelivered(&stream, &group)
        };
        assert_eq!(deleted(Some(10), 4, Some(6)), 0, "trimmed after delivery");
        assert_eq!(deleted(Some(10), 0, Some(6)), 4, "trimmed by hand");
        assert_eq!(deleted(Some(10), 6, Some(8)), 0, "not trimmed yet");
        assert_eq!(deleted(Some(10), 0, None), 0, "unknown");
        assert_eq!(deleted(None, 0, Some(6)), 0, "unknown");
    }

    #[test]
    fn the_bound_for_trimming_is_the_successor_of_the_last_delivered_id() {
        let id = |ms, seq| BallotId { ms, seq };
        assert_eq!(successor(id(5, 0)), Some(id(5, 1)));
        assert_eq!(successor(id(5, u64::MAX)), Some(id(6, 0)));
        assert_eq!(successor(id(u64::MAX, u64::MAX)), None);
    }
}
