//! Who votes: a signed cookie, which nobody can make up and which remembers the choice.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, CookieJar, Key};
use shared::ballot::{Choice, VoterId};

use crate::cookie_key::CookieKeys;

/// Closed to scripts and other sites, and kept for 20 years: longer than any browser keeps a cookie.
const ATTRIBUTES: &str = "; HttpOnly; SameSite=Lax; Path=/; Max-Age=630720000";

/// A voter, as the cookie tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who it is.
    pub voter: VoterId,
    /// The key of the option last voted for; empty: none. The poll may have changed since.
    pub chosen: String,
    /// Whether this voter came without a cookie of ours.
    pub is_new: bool,
}

impl Identity {
    /// The voter this request comes from: a new one where the cookie is missing, made up, or somebody else's work.
    pub fn of(headers: &HeaderMap, keys: &CookieKeys) -> Self {
        let known = [Some(&keys.current), keys.previous.as_ref()];
        known
            .into_iter()
            .flatten()
            .find_map(|key| read(headers, key, cookie_name(keys)))
            .unwrap_or_else(|| Self {
                voter: VoterId::random(),
                chosen: String::new(),
                is_new: true,
            })
    }

    /// What `Set-Cookie` says, so that this voter is known again.
    pub fn cookie(&self, keys: &CookieKeys) -> HeaderValue {
        let name = cookie_name(keys);
        let mut jar = CookieJar::new();
        let value = format!("{}.{}", self.voter, self.chosen);
        jar.signed_mut(&keys.current).add((name, value));
        let signed = jar.get(name).map(Cookie::value).unwrap_or_default();
        let secure = if keys.secure { "; Secure" } else { "" };
        // No escapes: a signature is Base64, and neither a voter nor an option's key has what would need one.
        let cookie = [name, "=", signed, ATTRIBUTES, secure].concat();
        HeaderValue::try_from(cookie).expect("ids, keys and Base64 are ASCII")
    }

    /// The same voter after this vote.
    pub fn having_chosen(self, choice: &Choice) -> Self {
        Self {
            chosen: choice.to_string(),
            ..self
        }
    }
}

/// The prefix makes browsers refuse the cookie from anywhere but this very host over HTTPS.
fn cookie_name(keys: &CookieKeys) -> &'static str {
    if keys.secure {
        "__Host-voter_id"
    } else {
        "voter_id"
    }
}

fn read(headers: &HeaderMap, key: &Key, name: &str) -> Option<Identity> {
    let jar = CookieJar::new();
    let cookie = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(Cookie::split_parse_encoded)
        .flatten()
        .filter(|cookie| cookie.name() == name)
        .find_map(|cookie| jar.signed(key).verify(cookie.into_owned()))?;
    let (voter, chosen) = cookie.value().split_once('.')?;
    Some(Identity {
        voter: voter.parse().ok()?,
        chosen: chosen.to_owned(),
        is_new: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(current: &str, previous: Option<&str>, secure: bool) -> CookieKeys {
        CookieKeys::new(
            Some(&current.repeat(64)),
            previous.map(|hex| hex.repeat(64)).as_deref(),
            None,
            secure,
        )
        .unwrap()
    }

    fn somebody() -> Identity {
        Identity {
            voter: VoterId::random(),
            chosen: "a".into(),
            is_new: false,
        }
    }

    /// What `Set-Cookie` says.
    fn set_cookie(identity: &Identity, keys: &CookieKeys) -> String {
        identity.cookie(keys).to_str().unwrap().to_owned()
    }

    fn sent_back(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().unwrap();
        HeaderMap::from_iter([(header::COOKIE, pair.parse().unwrap())])
    }

    #[test]
    fn a_voter_is_known_again() {
        let (keys, voter) = (keys("ab", None, false), somebody());
        assert_eq!(
            Identity::of(&sent_back(&set_cookie(&voter, &keys)), &keys),
            voter
        );
    }

    #[test]
    fn a_voter_is_known_again_by_a_cookie_with_escapes() {
        let (keys, voter) = (keys("ab", None, false), somebody());
        let plain = set_cookie(&voter, &keys);
        assert!(!plain.contains('%'), "{plain}");
        let pair = plain.split(';').next().unwrap();
        let value = pair.strip_prefix("voter_id=").unwrap();
        let escaped = Cookie::new("voter_id", value).encoded().to_string();
        assert!(escaped.contains("%3D"), "{escaped}");
        assert_eq!(Identity::of(&sent_back(&escaped), &keys), voter);
    }

    #[test]
    fn a_made_up_or_altered_cookie_is_a_new_voter_and_never_somebody_else() {
        let (keys, voter) = (keys("ab", None, false), somebody());
        let other = somebody();
        let genuine = set_cookie(&voter, &keys);
        let altered = genuine.replace(&voter.voter.to_string(), &other.voter.to_string());
        let plain = format!("voter_id={}", other.voter);
        for cookie in [
            altered.as_str(),
            &plain,
            "voter_id=",
            "voter_id=x.y",
            "other=1",
        ] {
            let identity = Identity::of(&sent_back(cookie), &keys);
            assert!(
                identity.is_new && identity.voter != other.voter && identity.voter != voter.voter,
                "{cookie}"
            );
        }
    }

    #[test]
    fn a_rotated_key_still_verifies_and_a_forgotten_one_does_not() {
        let voter = somebody();
        let cookie = sent_back(&set_cookie(&voter, &keys("ab", None, false)));
        assert_eq!(Identity::of(&cookie, &keys("cd", Some("ab"), false)), voter);
        assert!(Identity::of(&cookie, &keys("cd", None, false)).is_new);
    }

    #[test]
    fn the_cookie_is_closed_to_scripts_and_other_sites() {
        let plain = set_cookie(&somebody(), &keys("ab", None, false));
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age="] {
            assert!(plain.contains(attribute), "{plain}");
        }
        assert!(plain.starts_with("voter_id=") && !plain.contains("Secure"));
        let over_tls = set_cookie(&somebody(), &keys("ab", None, true));
        assert!(
            over_tls.starts_with("__Host-voter_id=") && over_tls.contains("Secure"),
            "{over_tls}"
        );
    }
}
