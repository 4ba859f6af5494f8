//! One shard of the queue: its stream's key, and its ids, which are unique over all shards.

use super::cluster::hash_tag;
use poll::ballot::BallotId;

/// Index of a shard and the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// `index` counts from 0 and is less than `count`.
    pub fn new(index: usize, count: usize) -> Self {
        debug_assert!(index < count, "shard {index} of {count}");
        Self {
            index: index as u64,
            count: count as u64,
        }
    }

    /// Returns true if there is one shard.
    pub fn is_only(self) -> bool {
        self.count == 1
    }

    /// Returns the key of the shard's stream: the name itself for a single shard.
    ///
    /// With several shards the key contains their number, so streams of another sharding are never mixed with these. The
    /// part in braces is the hash tag, which decides on the slot in a Redis Cluster.
    pub fn key(self, stream: &str) -> String {
        if self.is_only() {
            return stream.to_owned();
        }
        let Self { index, count } = self;
        let tag = hash_tag(index, count);
        format!("{stream}:{index}of{count}:{{{tag}}}")
    }

    /// Converts an id of the shard's stream to a global id: unique over all shards, in the same order within the shard.
    ///
    /// Sequence numbers count up within a millisecond, so a server never reaches those that would not fit.
    pub fn to_global_id(self, entry: BallotId) -> BallotId {
        let seq = entry.seq.saturating_mul(self.count);
        BallotId {
            seq: seq.saturating_add(self.index),
            ..entry
        }
    }

    /// Converts a global id to the id in the shard's stream.
    pub fn to_stream_id(self, ballot: BallotId) -> BallotId {
        BallotId {
            seq: ballot.seq.saturating_sub(self.index) / self.count,
            ..ballot
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_stream_keeps_its_key_and_ids() {
        let id = BallotId { ms: 7, seq: 9 };
        let only = Shard::new(0, 1);
        assert_eq!(only.key("ballots"), "ballots");
        assert_eq!((only.to_global_id(id), only.to_stream_id(id)), (id, id));
    }

    #[test]
    fn the_key_of_a_shard_has_its_number_and_hash_tag() {
        let tag = hash_tag(1, 3);
        let expected = format!("ballots:1of3:{{{tag}}}");
        assert_eq!(Shard::new(1, 3).key("ballots"), expected);
    }

    proptest! {
        #[test]
        fn global_ids_convert_back_keep_their_order_and_are_unique(
            count in 2..64_usize, one in 0..64_usize, other in 0..64_usize,
            ms in 0..3_u64, seq in 0..1_u64 << 48, next_ms in 0..3_u64, next in 0..1_u64 << 48,
        ) {
            let (one, other) = (Shard::new(one % count, count), Shard::new(other % count, count));
            let (id, next) = (BallotId { ms, seq }, BallotId { ms: next_ms, seq: next });
            prop_assert_eq!(one.to_stream_id(one.to_global_id(id)), id);
            prop_assert_eq!(one.to_global_id(id).cmp(&one.to_global_id(next)), id.cmp(&next));
            prop_assert!(one == other || one.to_global_id(id) != other.to_global_id(next));
        }
    }
}
