//! A voter's cookie: all that a browser keeps, and who the voter is.

use shared::ballot::VoterId;

/// The cookie as it is sent back: its name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pair: Box<str>,
    voter: VoterId,
}

/// The names under which services set it, over HTTP and over HTTPS.
const NAMES: [&str; 2] = ["voter_id", "__Host-voter_id"];
/// A voter id's digits.
const DIGITS: usize = 32;

impl Cookie {
    /// Reads `NAME=VALUE`, where the value is a signature, the voter id, a dot, and the last choice. `None`: it is
    /// another cookie.
    #[must_use]
    pub fn read(pair: &str) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        // The signature is base64, and percent-encoded where it has to be: there is no dot in it.
        let (signed, _choice) = value.split_once('.')?;
        let voter = signed.get(signed.len().checked_sub(DIGITS)?..)?;
        NAMES.contains(&name).then_some(())?;
        Some(Self {
            pair: pair.into(),
            voter: voter.parse().ok()?,
        })
    }

    /// As it is sent back.
    #[must_use]
    pub fn pair(&self) -> &str {
        &self.pair
    }

    /// Who the voter is.
    #[must_use]
    pub fn voter(&self) -> VoterId {
        self.voter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voter_is_read_from_the_cookie_and_from_no_other() {
        let voter = VoterId::random();
        for name in NAMES {
            let pair =
                format!("{name}=m%2BpD7RqfeZ8Fz1aQ4w%2F1oPYk2m2mZ6Q4l0xq2m8JpQk%3D{voter}.b");
            let cookie = Cookie::read(&pair).unwrap();
            assert_eq!((cookie.voter(), cookie.pair()), (voter, &*pair));
        }
        for other in [
            &format!("session=abc{voter}.b"),
            &format!("voter_id={voter}"),
            "voter_id=.a",
            "voter_id",
        ] {
            assert_eq!(Cookie::read(other), None, "{other}");
        }
    }
}
