//! The ballot: one voter's choice, and its position in the order of all ballots.

use std::{fmt, str::FromStr, sync::Arc};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::PollId;

/// The id of a ballot in the queue: a stream id `ms-seq`.
///
/// Two integers compared as numbers, milliseconds first. Of two ballots by one voter the greater id is the newer.
/// Source: the entry ids of Redis streams, <https://redis.io/docs/latest/develop/data-types/streams/>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BallotId {
    /// Milliseconds since the Unix epoch, by the queue's clock.
    pub ms: u64,
    /// Sequence number within the millisecond, from 0.
    pub seq: u64,
}

impl fmt::Display for BallotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for BallotId {
    type Err = InvalidBallotId;

    fn from_str(raw: &str) -> Result<Self, InvalidBallotId> {
        let parts = raw
            .split_once('-')
            .and_then(|(ms, seq)| Some((parse_decimal(ms)?, parse_decimal(seq)?)));
        let (ms, seq) = parts.ok_or_else(|| InvalidBallotId(raw.to_owned()))?;
        Ok(Self { ms, seq })
    }
}

/// Parses decimal digits. `u64::from_str` also accepts a leading `+`, which stream ids do not have.
fn parse_decimal(raw: &str) -> Option<u64> {
    raw.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| raw.parse().ok())
        .flatten()
}

/// The text is not a stream id.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a ballot id; write two whole numbers with a hyphen between them, such as 1763900000000-0"
)]
pub struct InvalidBallotId(String);

/// Number of hexadecimal digits of a voter id.
const VOTER_DIGITS: usize = 32;

/// The id of a voter: 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoterId(u128);

impl VoterId {
    /// Returns the id of a new voter.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Returns the id under which this voter votes in a poll: the first 128 bits of SHA-256 over the 16 bytes of the voter's id and the poll's
    /// id. It is the same on every replica. The queue and the store have only such ids, so they do not show which votes in two
    /// polls are by one voter.
    #[must_use]
    pub fn in_poll(self, poll: &PollId) -> Self {
        let hash = Sha256::new()
            .chain_update(self.to_bytes())
            .chain_update(poll.as_str())
            .finalize();
        let mut id = [0; VOTER_DIGITS / 2];
        id.copy_from_slice(&hash[..VOTER_DIGITS / 2]);
        Self::from_bytes(id)
    }

    /// Returns the 16 bytes of the id.
    #[must_use]
    pub fn to_bytes(self) -> [u8; VOTER_DIGITS / 2] {
        self.0.to_be_bytes()
    }

    /// Returns the id with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; VOTER_DIGITS / 2]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Returns the number, from 0, of the queue's shard for this voter's ballots: the id modulo the number of shards. Ids are random, so
    /// voters are spread evenly over the shards.
    #[must_use]
    pub fn shard(self, shards: usize) -> usize {
        // The remainder is less than `shards`, so it fits.
        usize::try_from(self.0 % shards as u128).unwrap_or_default()
    }
}

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; VOTER_DIGITS];
        hex::encode_to_slice(self.0.to_be_bytes(), &mut digits).expect("two digits for each byte");
        f.write_str(str::from_utf8(&digits).expect("digits are ASCII"))
    }
}

/// Hides the id: logs never contain voter ids.
impl fmt::Debug for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VoterId(…)")
    }
}

impl FromStr for VoterId {
    type Err = InvalidVoterId;

    fn from_str(raw: &str) -> Result<Self, InvalidVoterId> {
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if !raw.bytes().all(digits) {
            return Err(InvalidVoterId);
        }
        let mut id = [0; VOTER_DIGITS / 2];
        hex::decode_to_slice(raw, &mut id).map_err(|_| InvalidVoterId)?;
        Ok(Self(u128::from_be_bytes(id)))
    }
}

/// The text is not a voter id. The message does not contain the text: the text may be the id of a voter.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the voter id is not 32 lowercase hexadecimal digits")]
pub struct InvalidVoterId;

/// A voter's choice: the key of one of the poll's options.
///
/// It is created only by [`Poll::choice`](crate::Poll::choice), so it is always an option of the poll. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Choice(pub(crate) Arc<str>);

impl Choice {
    /// Returns the key of the option, such as `a`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The trace context of a request: `version-trace-span-flags` in hexadecimal digits.
///
/// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traceparent(String);

impl Traceparent {
    /// Parses the header. Returns `None` if it is malformed: the vote is then accepted without a trace context.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        let hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let parts: Vec<_> = raw.splitn(5, '-').collect();
        let well_formed = matches!(parts[..], [version, trace, span, flags]
            if hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2));
        well_formed.then(|| Self(raw.to_owned()))
    }

    /// Returns the value of the header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One voter's choice, before the queue has assigned an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// The poll that was voted in.
    pub poll: PollId,
    /// The voter's id in this poll, see [`VoterId::in_poll`].
    pub voter: VoterId,
    /// The choice.
    pub choice: Choice,
    /// The trace context of the vote.
    pub traceparent: Option<Traceparent>,
}

/// A ballot with the id that the queue has assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CastBallot {
    /// The id. Of a voter's ballots, the one with the greatest id is counted.
    pub id: BallotId,
    /// The ballot.
    pub ballot: Ballot,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_compared_as_numbers_not_as_text() {
        let id = |raw: &str| raw.parse::<BallotId>().unwrap();
        assert!(id("999-0") < id("1000-0"));
        assert!(id("1000-9") < id("1000-10"));
        assert!(id("1000-10") < id("1001-0"));
    }

    #[test]
    fn malformed_ids_are_rejected() {
        for raw in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "a-0",
            "1-0-0",
            "+1-0",
            "1-+0",
            " 1-0",
            "18446744073709551616-0",
        ] {
            assert!(raw.parse::<BallotId>().is_err(), "{raw:?}");
        }
    }

    /// Ballots of one voter in two shards would have no order, so all versions must compute the same shard.
    #[test]
    fn a_voters_shard_is_the_id_modulo_the_number_of_shards() {
        let voter: VoterId = "ffffffffffffffffffffffffffffffff".parse().unwrap();
        assert_eq!(
            (1..=8)
                .map(|shards| voter.shard(shards))
                .collect::<Vec<_>>(),
            [0, 1, 0, 3, 0, 3, 3, 7]
        );
    }

    #[test]
    fn a_voter_has_another_id_in_each_poll() {
        let voter: VoterId = "00112233445566778899aabbccddeeff".parse().unwrap();
        let in_poll = |poll: &str| voter.in_poll(&poll.parse().unwrap()).to_string();
        // printf '00112233445566778899aabbccddeeff70657473' | xxd -r -p | sha256sum
        assert_eq!(in_poll("pets"), "80bfa156abec6872c530463747c7280a");
        assert_ne!(in_poll("pets"), in_poll("pets-2"));
    }

    #[test]
    fn malformed_voter_ids_are_rejected() {
        let good = VoterId::random().to_string();
        for raw in [
            "",
            "0",
            &good[1..],
            &format!("{good}0"),
            &format!("+{}", &good[1..]),
            &"G".repeat(32),
            &"A".repeat(32),
        ] {
            assert!(raw.parse::<VoterId>().is_err(), "{raw:?}");
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_voter_id() {
        let voter = VoterId::random();
        assert!(!format!("{voter:?}").contains(&voter.to_string()));
    }

    proptest! {
        #[test]
        fn an_id_round_trips_as_text(ms: u64, seq: u64) {
            let id = BallotId { ms, seq };
            prop_assert_eq!(id.to_string().parse::<BallotId>().unwrap(), id);
        }

        #[test]
        fn a_voter_id_round_trips_as_text(bits: u128) {
            let text = VoterId(bits).to_string();
            prop_assert_eq!(text.len(), 32);
            prop_assert_eq!(text.parse::<VoterId>().unwrap(), VoterId(bits));
        }
    }
}
