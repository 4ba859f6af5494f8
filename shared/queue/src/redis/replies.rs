//! Redis' replies, parsed into this crate's types: the library's stream types put every entry into a hash map.

use std::collections::HashMap;

use redis::{FromRedisValue, Value};

use super::GROUP;
use crate::StreamEntry;
use poll::ballot::BallotId;

/// Reply to XADD: the id of the entry.
pub struct Added(pub BallotId);

impl FromRedisValue for Added {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        Ok(Self(parse_id(&String::from_redis_value(value)?)?))
    }
}

/// Reply to XREADGROUP: entries of one stream, or nil.
pub struct Streams(pub Vec<StreamEntry>);

impl FromRedisValue for Streams {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let streams = Option::<Vec<(Value, Entries)>>::from_redis_value(value)?.unwrap_or_default();
        Ok(Self(
            streams
                .into_iter()
                .flat_map(|(_, Entries(entries))| entries)
                .collect(),
        ))
    }
}

/// Entries in replies to XRANGE and XAUTOCLAIM.
pub struct Entries(pub Vec<StreamEntry>);

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let entries = Vec::<(String, Vec<Vec<u8>>)>::from_redis_value(value)?;
        let entries = entries
            .into_iter()
            .map(|(id, fields)| Ok(StreamEntry::new(parse_id(&id)?, pairs(fields))));
        Ok(Self(entries.collect::<Result<_, redis::ParsingError>>()?))
    }
}

fn pairs(flat: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(|| flat.next().zip(flat.next())).collect()
}

/// The consumer group in the reply to XINFO GROUPS.
pub struct Group {
    pub last_delivered: BallotId,
    /// Number of undelivered entries; `None` if Redis does not know it.
    pub lag: Option<u64>,
    /// Number of entries up to the last delivered one; `None` if Redis does not know it.
    pub entries_read: Option<u64>,
}

/// Reply to XINFO GROUPS: the consumer group, if it exists.
pub struct Groups(pub Option<Group>);

impl FromRedisValue for Groups {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        for mut group in Vec::<HashMap<String, Value>>::from_redis_value(value)? {
            let mut field = |name: &str| group.remove(name).unwrap_or(Value::Nil);
            if String::from_redis_value(field("name"))? == GROUP {
                let last_delivered =
                    parse_id(&String::from_redis_value(field("last-delivered-id"))?)?;
                return Ok(Self(Some(Group {
                    last_delivered,
                    lag: Option::from_redis_value(field("lag"))?,
                    entries_read: Option::from_redis_value(field("entries-read"))?,
                })));
            }
        }
        Ok(Self(None))
    }
}

/// Reply to XINFO STREAM.
pub struct StreamInfo {
    /// The last generated id.
    pub last_id: BallotId,
    pub length: u64,
    /// Number of entries that were ever added; `None` on older servers.
    pub entries_added: Option<u64>,
}

impl FromRedisValue for StreamInfo {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let mut stream = HashMap::<String, Value>::from_redis_value(value)?;
        let mut field = |name: &str| stream.remove(name).unwrap_or(Value::Nil);
        Ok(Self {
            last_id: parse_id(&String::from_redis_value(field("last-generated-id"))?)?,
            length: u64::from_redis_value(field("length"))?,
            entries_added: Option::from_redis_value(field("entries-added"))?,
        })
    }
}

/// Reply to HELLO.
pub struct Hello {
    pub version: String,
}

impl FromRedisValue for Hello {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let mut hello = HashMap::<String, Value>::from_redis_value(value)?;
        let version = hello.remove("version").unwrap_or(Value::Nil);
        Ok(Self {
            version: String::from_redis_value(version)?,
        })
    }
}

/// A pending entry in the extended reply to XPENDING: id, consumer, idle time in milliseconds, number of deliveries.
pub type PendingEntry = (String, String, u64, u64);

/// Summary in the reply to XPENDING.
pub struct PendingSummary {
    pub count: u64,
    pub oldest: Option<BallotId>,
}

impl FromRedisValue for PendingSummary {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let (count, oldest, _, _) = <(u64, Option<String>, Value, Value)>::from_redis_value(value)?;
        Ok(Self {
            count,
            oldest: oldest.map(|id| parse_id(&id)).transpose()?,
        })
    }
}

fn parse_id(id: &str) -> Result<BallotId, redis::ParsingError> {
    id.parse().map_err(|error: poll::ballot::InvalidBallotId| {
        redis::ParsingError::from(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_list_of_fields_is_parsed_into_pairs() {
        let flat = ["a", "1", "b", "2"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
        assert_eq!(
            pairs(flat),
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"2".to_vec())
            ]
        );
    }
}
