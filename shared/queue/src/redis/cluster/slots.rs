//! Hash slots: the part of a key in braces decides on its slot, and nodes own ranges of slots.

use crc::{CRC_16_XMODEM, Crc};

/// Number of slots of a Redis Cluster. Source:
/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
const SLOTS: u64 = 16_384;
const CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Returns the hash tag of shard `index` of `count`: the smallest number whose slot is in the middle half of this shard's
/// part of all slots. So shards are as far apart as possible: with the index as the tag, two of three shards would be on
/// the same of three nodes.
pub fn hash_tag(index: u64, count: u64) -> u64 {
    let part = SLOTS / count;
    let begin = SLOTS * index / count + part / 4;
    let middle = begin..=begin + part / 2;
    // A small number always matches: checksums of numbers are spread over all slots.
    (0..SLOTS * SLOTS)
        .find(|number| middle.contains(&slot(&number.to_string())))
        .unwrap_or_default()
}

/// Returns the slot of a hash tag.
fn slot(tag: &str) -> u64 {
    u64::from(CHECKSUM.checksum(tag.as_bytes())) % SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Checks against the reply to `CLUSTER KEYSLOT`.
    #[test]
    fn slots_equal_those_of_redis_cluster() {
        for (tag, expected) in [("123456789", 12739), ("foo", 12182), ("0", 13907)] {
            assert_eq!(slot(tag), expected, "{tag}");
        }
    }

    #[test]
    fn every_shard_has_a_part_of_the_slots_of_its_own() {
        for count in 2..=64 {
            let mut parts = HashSet::new();
            for index in 0..count {
                let tag = hash_tag(index, count);
                parts.insert(slot(&tag.to_string()) * count / SLOTS);
            }
            assert_eq!(parts.len() as u64, count);
        }
    }
}
