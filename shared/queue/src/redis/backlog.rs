//! What the stream still holds, and what of it may go.

use redis::cmd;

use super::{
    GROUP, RedisQueue,
    errors::is_stream_missing,
    replies::{Entries, Group, Groups, Pending, StreamInfo},
};
use crate::{Backlog, QueueError};
use poll::ballot::BallotId;

impl RedisQueue {
    pub(super) async fn backlog(&self) -> Result<Backlog, QueueError> {
        self.look(false).await
    }

    /// The same, once what is acknowledged is removed.
    pub(super) async fn trim(&self) -> Result<Backlog, QueueError> {
        self.look(true).await
    }

    async fn look(&self, trims: bool) -> Result<Backlog, QueueError> {
        // Before the group: what is delivered in between then counts as delivered, and is not missed.
        let Some(stream) = self.info().await? else {
            return Ok(Backlog::default());
        };
        let Some(group) = self.group().await? else {
            return self.untouched(&stream).await;
        };
        // Asked after the group: what was delivered in between has greater ids than `delivered`, so the bound holds.
        let pending = self.pending().await?;
        let next = after(group.delivered);
        let bound = pending.first.into_iter().chain(next).min();
        let trim = bound.map_or(Trim::All, Trim::Below);
        let lag = format!("({}", group.delivered);
        let lag = match next {
            Some(_) => (&*lag, "+"),
            None => NONE,
        };
        let (oldest_undelivered, length) = self.oldest(lag, trims.then_some(trim)).await?;
        Ok(Backlog {
            pending: pending.count,
            lag: match oldest_undelivered {
                // Redis 7.0 counts an entry that was deleted after all had been delivered as one to come.
                None => 0,
                Some(_) => group
                    .lag
                    .unwrap_or_else(|| length.saturating_sub(pending.count))
                    .max(1),
            },
            oldest: pending
                .first
                .into_iter()
                .chain(oldest_undelivered)
                .min()
                .map(|oldest| self.shard.to_ballot(oldest)),
            last: stream.last,
            added: stream.added,
            removed: removed_unread(&stream, &group),
        })
    }

    /// The backlog before the first worker has come: whatever is in the stream.
    async fn untouched(&self, stream: &StreamInfo) -> Result<Backlog, QueueError> {
        let (oldest, lag) = self.oldest(("-", "+"), None).await?;
        Ok(Backlog {
            lag,
            oldest: oldest.map(|oldest| self.shard.to_ballot(oldest)),
            last: stream.last,
            added: stream.added,
            ..Backlog::default()
        })
    }

    /// The oldest entry between these ids, and how many entries there are in all, once these are removed.
    async fn oldest(
        &self,
        (from, to): (&str, &str),
        trim: Option<Trim>,
    ) -> Result<(Option<BallotId>, u64), QueueError> {
        let stream = &*self.stream;
        let mut commands = redis::pipe();
        if let Some(entries) = trim {
            let trim = commands.cmd("XTRIM").arg(stream);
            match entries {
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

    /// The stream; `None`: there is none.
    pub(super) async fn info(&self) -> Result<Option<StreamInfo>, QueueError> {
        let mut info = cmd("XINFO");
        info.arg("STREAM").arg(&*self.stream);
        match self.connection.query(&info).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if is_stream_missing(&error) => Ok(None),
            Err(error) => Err(self.classify(&error)),
        }
    }

    /// The consumer group; `None`: there is none, or no stream either.
    pub(super) async fn group(&self) -> Result<Option<Group>, QueueError> {
        let mut info = cmd("XINFO");
        info.arg("GROUPS").arg(&*self.stream);
        match self.connection.query::<Groups>(&info).await {
            Ok(Groups(group)) => Ok(group),
            Err(error) if is_stream_missing(&error) => Ok(None),
            Err(error) => Err(self.classify(&error)),
        }
    }

    async fn pending(&self) -> Result<Pending, QueueError> {
        let mut pending = cmd("XPENDING");
        pending.arg(&*self.stream).arg(GROUP);
        self.connection
            .query(&pending)
            .await
            .map_err(|error| self.classify(&error))
    }
}

/// Entries that are gone from the stream and were not delivered. Workers trim only what was.
fn removed_unread(stream: &StreamInfo, group: &Group) -> u64 {
    let (Some(added), Some(read)) = (stream.added, group.read) else {
        return 0;
    };
    let gone = added.saturating_sub(stream.length);
    gone.saturating_sub(read)
}

/// A range of ids in which there are none.
const NONE: (&str, &str) = ("+", "-");

/// The entries that may go.
#[derive(Clone, Copy)]
enum Trim {
    /// Those with smaller ids.
    Below(BallotId),
    /// All: the last one has the greatest id there is, so no further one can come meanwhile.
    All,
}

/// The first id greater than this one; `None`: there is none.
fn after(id: BallotId) -> Option<BallotId> {
    match id.seq.checked_add(1) {
        Some(seq) => Some(BallotId { seq, ..id }),
        None => id.ms.checked_add(1).map(|ms| BallotId { ms, seq: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_delivered_counts_as_removed() {
        let id = BallotId { ms: 5, seq: 0 };
        let removed = |added, length, read| {
            let stream = StreamInfo {
                last: id,
                length,
                added,
            };
            let group = Group {
                delivered: id,
                lag: None,
                read,
            };
            removed_unread(&stream, &group)
        };
        assert_eq!(removed(Some(10), 4, Some(6)), 0, "trimmed after delivery");
        assert_eq!(removed(Some(10), 0, Some(6)), 4, "trimmed by hand");
        assert_eq!(removed(Some(10), 6, Some(8)), 0, "not trimmed yet");
        assert_eq!(removed(Some(10), 0, None), 0, "not known");
        assert_eq!(removed(None, 0, Some(6)), 0, "not known");
    }

    #[test]
    fn the_bound_for_trimming_is_just_after_the_last_delivered() {
        let id = |ms, seq| BallotId { ms, seq };
        assert_eq!(after(id(5, 0)), Some(id(5, 1)));
        assert_eq!(after(id(5, u64::MAX)), Some(id(6, 0)));
        assert_eq!(after(id(u64::MAX, u64::MAX)), None);
    }
}
