//! A voter's cookie: all that a browser keeps, and who the voter is.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poll::ballot::VoterId;

/// The cookie as it is sent back: its name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    pair: Box<str>,
    voter: VoterId,
}

/// The beginnings of the names under which services set it, over HTTP and over HTTPS.
const NAMES: [&str; 2] = ["voter_id_", "__Host-voter_id_"];
/// The format of the value that is understood here.
const VERSION: u8 = 1;

impl Cookie {
    /// Reads `NAME=VALUE`, where the value is base64url of the format's version, the 16 bytes of the voter id, and more.
    /// `None`: it is another cookie.
    #[must_use]
    pub fn read(pair: &str) -> Option<Self> {
        let (name, value) = pair.split_once('=')?;
        NAMES
            .iter()
            .find(|beginning| name.starts_with(**beginning))?;
        let value = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (voter, _) = value.strip_prefix(&[VERSION])?.split_first_chunk()?;
        Some(Self {
            pair: pair.into(),
            voter: VoterId::from_bytes(*voter),
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

/// A cookie of this voter, with something else behind the voter's id.
#[cfg(test)]
pub(crate) fn pair_of(voter: VoterId, rest: &str) -> String {
    let value = [&[VERSION], &voter.to_bytes()[..], rest.as_bytes()].concat();
    format!("{}0a1b2c3d={}", NAMES[0], URL_SAFE_NO_PAD.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_voter_is_read_from_the_cookie_and_from_no_other() {
        let voter = VoterId::random();
        let plain = pair_of(voter, "rest");
        for pair in [plain.clone(), format!("__Host-{plain}")] {
            let cookie = Cookie::read(&pair).unwrap();
            assert_eq!((cookie.voter(), cookie.pair()), (voter, &*pair));
        }
        for other in [
            &plain.replace("voter_id_", "session_"),
            &format!("voter_id_0a1b2c3d={voter}"),
            "voter_id_0a1b2c3d=",
            "voter_id_0a1b2c3d",
        ] {
            assert_eq!(Cookie::read(other), None, "{other}");
        }
    }
}
