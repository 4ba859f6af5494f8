//! Redis' answers, read straight into our own types: its own stream types put every entry into a hash map.

use std::collections::HashMap;

use redis::{FromRedisValue, Value};

use super::GROUP;
use crate::StreamEntry;
use poll::ballot::BallotId;

/// The id that XADD returns.
pub struct Added(pub BallotId);

impl FromRedisValue for Added {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        Ok(Self(parse_id(&String::from_redis_value(value)?)?))
    }
}

/// XREADGROUP: entries of one stream, or nil.
pub struct Streams(pub Vec<StreamEntry>);

impl FromRedisValue for Streams {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let streams = Option::<Vec<(Value, Entries)>>::from_redis_value(value)?.unwrap_or_default();
        Ok(Self(
            streams
                .into_iter()
                .flat_map(|(_, Entries(deliveries))| deliveries)
                .collect(),
        ))
    }
}

/// Entries as XRANGE and XAUTOCLAIM return them.
pub struct Entries(pub Vec<StreamEntry>);

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let entries = Vec::<(String, Vec<Vec<u8>>)>::from_redis_value(value)?;
        let deliveries = entries
            .into_iter()
            .map(|(id, fields)| Ok(StreamEntry::new(parse_id(&id)?, in_pairs(fields))));
        Ok(Self(
            deliveries.collect::<Result<_, redis::ParsingError>>()?,
        ))
    }
}

fn in_pairs(flat: Vec<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(|| flat.next().zip(flat.next())).collect()
}

/// What XINFO GROUPS says of our group.
pub struct Group {
    pub delivered: BallotId,
    /// Redis cannot always tell.
    pub lag: Option<u64>,
    /// The number of entries up to the last delivered one. Redis cannot always tell.
    pub read: Option<u64>,
}

pub struct Groups(pub Option<Group>);

impl FromRedisValue for Groups {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        for mut group in Vec::<HashMap<String, Value>>::from_redis_value(value)? {
            let mut field = |name: &str| group.remove(name).unwrap_or(Value::Nil);
            if String::from_redis_value(field("name"))? == GROUP {
                let delivered = parse_id(&String::from_redis_value(field("last-delivered-id"))?)?;
                return Ok(Self(Some(Group {
                    delivered,
                    lag: Option::from_redis_value(field("lag"))?,
                    read: Option::from_redis_value(field("entries-read"))?,
                })));
            }
        }
        Ok(Self(None))
    }
}

/// The answer to XINFO STREAM.
pub struct StreamInfo {
    /// The greatest id that was ever given out.
    pub last: BallotId,
    pub length: u64,
    /// The entries that were ever added; older servers do not count them.
    pub added: Option<u64>,
}

impl FromRedisValue for StreamInfo {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let mut stream = HashMap::<String, Value>::from_redis_value(value)?;
        let mut field = |name: &str| stream.remove(name).unwrap_or(Value::Nil);
        Ok(Self {
            last: parse_id(&String::from_redis_value(field("last-generated-id"))?)?,
            length: u64::from_redis_value(field("length"))?,
            added: Option::from_redis_value(field("entries-added"))?,
        })
    }
}

/// The answer to HELLO.
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

/// A pending entry in the answer to XPENDING: its id, its consumer, its idle time in milliseconds, and the number of its deliveries.
pub type Held = (String, String, u64, u64);

/// What XPENDING says in short.
pub struct Pending {
    pub count: u64,
    pub first: Option<BallotId>,
}

impl FromRedisValue for Pending {
    fn from_redis_value(value: Value) -> Result<Self, redis::ParsingError> {
        let (count, first, _, _) = <(u64, Option<String>, Value, Value)>::from_redis_value(value)?;
        Ok(Self {
            count,
            first: first.map(|id| parse_id(&id)).transpose()?,
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
    fn fields_come_in_pairs() {
        let flat = ["a", "1", "b", "2"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec();
        assert_eq!(
            in_pairs(flat),
            [
                (b"a".to_vec(), b"1".to_vec()),
                (b"b".to_vec(), b"2".to_vec())
            ]
        );
    }
}
