//! The keys that sign the voters' cookies and the tokens in their forms.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use embedded::private;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const KEY_FILE: &str = "cookie.key";
const KEY_BYTES: usize = 64;
/// The number of bytes of a key's tag in its cookies' names.
const TAG_BYTES: usize = 4;

/// The purpose of a signature: one for another purpose is not valid.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// A cookie: its name, an equals sign, and its payload.
    Cookie,
    /// The token in a form: the voter's id.
    Token,
    /// The id of a new voter: what a script made up for its first vote.
    Voter,
    /// The tag of the key: nothing.
    Tag,
}

impl Purpose {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Cookie => b"voting-app cookie\0",
            Self::Token => b"voting-app form token\0",
            Self::Voter => b"voting-app new voter\0",
            Self::Tag => b"voting-app key tag\0",
        }
    }
}

/// The length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 32;

/// A key, and the names of the cookies that it signs.
#[derive(Clone)]
pub struct Key {
    hmac: Hmac<Sha256>,
    /// The cookie's name over HTTP.
    pub name: String,
    /// Over HTTPS. The prefix makes browsers refuse the cookie from anywhere but this very host over HTTPS.
    pub secure_name: String,
}

impl Key {
    /// The names have a tag of the key, because cookies know no ports: of two installations on one host, whose keys
    /// differ, none overwrites the other's cookie.
    fn new(bytes: &[u8]) -> Self {
        let hmac = Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length");
        let mut key = Self {
            hmac,
            name: String::new(),
            secure_name: String::new(),
        };
        let tag = hex::encode(&key.sign(Purpose::Tag, &[])[..TAG_BYTES]);
        key.name = format!("voter_id_{tag}");
        key.secure_name = format!("__Host-{}", key.name);
        key
    }

    /// HMAC-SHA256 of these parts, one after the other.
    pub fn sign(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.mac(purpose, parts).finalize().into_bytes().into()
    }

    /// Compares this with the signature, or with its beginning, in constant time.
    pub fn verifies(&self, purpose: Purpose, parts: &[&[u8]], signature: &[u8]) -> bool {
        self.mac(purpose, parts)
            .verify_truncated_left(signature)
            .is_ok()
    }

    fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.hmac.clone();
        mac.update(purpose.prefix());
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// The current key, and the one before it.
#[derive(Clone)]
pub struct CookieKeys {
    /// Signs, and verifies.
    pub current: Key,
    /// Only verifies.
    pub previous: Option<Key>,
    /// Whether cookies travel over HTTPS only.
    pub secure: bool,
}

impl CookieKeys {
    /// The keys with which a cookie or a token may be signed, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// The name of the cookie that is set.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.secure {
            &self.current.secure_name
        } else {
            &self.current.name
        }
    }
}

/// Keys never get into a log.
impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKeys")
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

impl CookieKeys {
    /// The keys as set. With no current key one is made, and kept in the folder `kept_in` if there is one.
    pub(crate) fn new(
        current: Option<&str>,
        previous: Option<&str>,
        kept_in: Option<&Path>,
        secure: bool,
    ) -> Result<Self, InvalidCookieKey> {
        let current = match (current, kept_in) {
            (Some(text), _) => parse("COOKIE_KEY", text)?,
            (None, Some(folder)) => kept_key(&folder.join(KEY_FILE))?,
            (None, None) => {
                tracing::warn!(
                    "COOKIE_KEY is not set: voters are not recognised by other replicas, nor by this one after a restart"
                );
                Key::new(&random_bytes())
            }
        };
        let previous = previous
            .map(|text| parse("COOKIE_KEY_PREVIOUS", text))
            .transpose()?;
        Ok(Self {
            current,
            previous,
            secure,
        })
    }
}

fn random_bytes() -> [u8; KEY_BYTES] {
    rand::random()
}

/// The key that this text is, in hexadecimal digits or in any others: managers of secrets draw letters, too.
fn parse(variable: &'static str, text: &str) -> Result<Key, InvalidCookieKey> {
    match hex::decode(text) {
        Ok(bytes) if bytes.len() >= KEY_BYTES => Ok(Key::new(&bytes)),
        Err(_) if text.len() >= KEY_BYTES => Ok(Key::new(text.as_bytes())),
        _ => Err(InvalidCookieKey::NotAKey(variable)),
    }
}

/// The key in this file; where there is none, a new one is made and put there.
fn kept_key(path: &Path) -> Result<Key, InvalidCookieKey> {
    let unusable = |source| InvalidCookieKey::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        private::create_folder(folder).map_err(unusable)?;
    }
    match write_new(path) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "COOKIE_KEY is not set: a key was made and kept in this file");
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    let hex = fs::read_to_string(path).map_err(unusable)?;
    parse("COOKIE_KEY", hex.trim()).map_err(|_| {
        unusable(io::Error::other(
            "it holds no key; remove it to get a new one",
        ))
    })
}

/// Whoever reads the file never sees half a key: it appears under its name when it is complete.
fn write_new(path: &Path) -> io::Result<()> {
    let draft = path.with_added_extension(format!("{:016x}", rand::random::<u64>()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    let hex = hex::encode(random_bytes());
    let written = file
        .write_all(hex.as_bytes())
        .and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    written
}

/// There is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCookieKey {
    /// The value is none.
    #[error(
        "{0} is not a key: write at least {KEY_BYTES} bytes, in hexadecimal digits such as `openssl rand -hex 64` prints, or as text"
    )]
    NotAKey(&'static str),
    /// The kept key.
    #[error("the cookie key in {} cannot be used", path.display())]
    File {
        /// Where it is kept.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let keys = || {
            CookieKeys::new(None, None, Some(folder.path()), false)
                .unwrap()
                .current
                .name
        };
        assert_eq!(keys(), keys());
        let files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(files, [KEY_FILE]);
    }

    #[test]
    fn short_and_broken_keys_are_refused_without_being_shown() {
        for text in [
            "",
            "abc",
            &"ab".repeat(63),
            &"z".repeat(63),
            &"é".repeat(31),
        ] {
            let message = CookieKeys::new(Some(text), None, None, false)
                .unwrap_err()
                .to_string();
            assert!(
                message.starts_with("COOKIE_KEY is not a key: write at least 64 bytes"),
                "{message}"
            );
        }
        assert!(CookieKeys::new(Some(&"ab".repeat(64)), Some("short"), None, false).is_err());
        // A manager of secrets has drawn it.
        assert!(CookieKeys::new(Some(&"q7Zk".repeat(32)), None, None, false).is_ok());
        assert!(
            CookieKeys::new(Some(&"ab".repeat(64)), Some(&"cd".repeat(64)), None, false).is_ok()
        );
    }
}
