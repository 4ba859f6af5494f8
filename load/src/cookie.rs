//! Voter cookie, and the voter id in it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poll::ballot::VoterId;

/// Cookie of a voter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pair: Box<str>,
    voter: VoterId,
}

/// Prefixes of the cookie name over HTTP and over HTTPS.
const NAME_PREFIXES: [&str; 2] = ["voter_id_", "__Host-voter_id_"];
/// Supported version of the value format.
const FORMAT_VERSION: u8 = 1;

impl Cookie {
    /// Parses `NAME=VALUE`, where the value is base64url of the format version, the 16 bytes of the voter id, and further
    /// bytes. Returns `None` for any other cookie.
    #[must_use]
    pub fn parse(pair: &str) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        NAME_PREFIXES
            .iter()
            .find(|prefix| name.starts_with(**prefix))?;
        let value = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (voter, _) = value.strip_prefix(&[FORMAT_VERSION])?.split_first_chunk()?;
        Some(Self {
            pair: pair.into(),
            voter: VoterId::from_bytes(*voter),
        })
    }

    /// Returns `NAME=VALUE`, as sent in the `Cookie` header.
    #[must_use]
    pub fn pair(&self) -> &str {
        &self.pair
    }

    /// Returns the voter id.
    #[must_use]
    pub fn voter(&self) -> VoterId {
        self.voter
    }
}

/// Creates a cookie of this voter, with `rest` after the voter id.
#[cfg(test)]
pub(crate) fn cookie_pair(voter: VoterId, rest: &str) -> String {
    let value = [&[FORMAT_VERSION], &voter.to_bytes()[..], rest.as_bytes()].concat();
    format!(
        "{}0a1b2c3d={}",
        NAME_PREFIXES[0],
        URL_SAFE_NO_PAD.encode(value)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_voter_cookie_is_parsed() {
        let voter = VoterId::random();
        let http = cookie_pair(voter, "rest");
        for pair in [http.clone(), format!("__Host-{http}")] {
            let cookie = Cookie::parse(&pair).unwrap();
            assert_eq!((cookie.voter(), cookie.pair()), (voter, &*pair));
        }
        for other in [
            &http.replace("voter_id_", "session_"),
            &format!("voter_id_0a1b2c3d={voter}"),
            "voter_id_0a1b2c3d=",
            "voter_id_0a1b2c3d",
        ] {
            assert_eq!(Cookie::parse(other), None, "{other}");
        }
    }
}
