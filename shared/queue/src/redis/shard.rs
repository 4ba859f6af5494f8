//! One of the queue's shards: the key of its stream, and the ids of its ballots among those of all shards.

use crc::{CRC_16_XMODEM, Crc};

use poll::ballot::BallotId;

/// How many slots a Redis Cluster has. Source: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
const SLOTS: u64 = 16_384;
const CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Which shard, of how many.
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

    /// Whether there are no others.
    pub fn is_only(self) -> bool {
        self.count == 1
    }

    /// The key of its stream. A single one has the name as it is.
    ///
    /// Of several the number of shards is part of the key: streams that were filled by another division are never mixed
    /// with these. The part in braces decides on the slot in a Redis Cluster, and is chosen so that shards lie as far
    /// from each other as they can: a number counted up would put two shards of three on the same of three nodes.
    pub fn key(self, stream: &str) -> String {
        if self.is_only() {
            return stream.to_owned();
        }
        format!("{stream}:{}of{}:{{{}}}", self.index, self.count, self.tag())
    }

    /// The first number whose slot lies in the middle half of this shard's part of all slots.
    fn tag(self) -> u64 {
        let part = SLOTS / self.count;
        let begin = SLOTS * self.index / self.count + part / 4;
        let middle = begin..=begin + part / 2;
        // Every range has such a number soon: checksums of numbers are spread over all slots.
        (0..SLOTS * SLOTS)
            .find(|number| middle.contains(&slot(&number.to_string())))
            .unwrap_or_default()
    }

    /// The id among those of all shards of what has this id in its own stream. No other shard has such a one, and the
    /// order within this shard stays.
    ///
    /// A sequence number is counted up within a millisecond, so a server never comes near those that would not fit.
    pub fn to_ballot(self, entry: BallotId) -> BallotId {
        let seq = entry.seq.saturating_mul(self.count);
        BallotId {
            seq: seq.saturating_add(self.index),
            ..entry
        }
    }

    /// The id in its own stream.
    pub fn to_entry(self, ballot: BallotId) -> BallotId {
        BallotId {
            seq: ballot.seq.saturating_sub(self.index) / self.count,
            ..ballot
        }
    }
}

/// The slot of a key's part in braces.
fn slot(tag: &str) -> u64 {
    u64::from(CHECKSUM.checksum(tag.as_bytes())) % SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_stream_keeps_its_key_and_ids() {
        let id = BallotId { ms: 7, seq: 9 };
        let only = Shard::new(0, 1);
        assert_eq!(only.key("ballots"), "ballots");
        assert_eq!((only.to_ballot(id), only.to_entry(id)), (id, id));
    }

    /// What `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_redis_cluster() {
        for (tag, expected) in [("123456789", 12739), ("foo", 12182), ("0", 13907)] {
            assert_eq!(slot(tag), expected, "{tag}");
        }
    }

    #[test]
    fn shards_lie_apart_in_a_cluster() {
        for count in 2..=64 {
            let mut parts = HashSet::new();
            for index in 0..count {
                let shard = Shard::new(index, count);
                parts.insert(slot(&shard.tag().to_string()) * count as u64 / SLOTS);
                assert!(
                    shard
                        .key("ballots")
                        .ends_with(&format!(":{{{}}}", shard.tag()))
                );
            }
            assert_eq!(parts.len(), count, "each has a part of its own");
        }
    }

    proptest! {
        #[test]
        fn ids_come_back_and_keep_their_order_and_no_two_shards_share_one(
            count in 2..64_usize, one in 0..64_usize, other in 0..64_usize,
            ms in 0..3_u64, seq in 0..1_u64 << 48, next_ms in 0..3_u64, next in 0..1_u64 << 48,
        ) {
            let (one, other) = (Shard::new(one % count, count), Shard::new(other % count, count));
            let (id, next) = (BallotId { ms, seq }, BallotId { ms: next_ms, seq: next });
            prop_assert_eq!(one.to_entry(one.to_ballot(id)), id);
            prop_assert_eq!(one.to_ballot(id).cmp(&one.to_ballot(next)), id.cmp(&next));
            prop_assert!(one == other || one.to_ballot(id) != other.to_ballot(next));
        }
    }
}
