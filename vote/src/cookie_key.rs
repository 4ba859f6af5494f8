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
/// Length of a key's tag in the names of its cookies, in bytes.
const TAG_BYTES: usize = 4;

/// Purpose of a signature. A signature for another purpose is not valid.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// A cookie: signs its name, an equals sign, and its payload.
    Cookie,
    /// The token of a form: signs the voter's id.
    Token,
    /// The id of a new voter: signs the random text of the voter's browser.
    Voter,
    /// The tag of the key: signs an empty text.
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

/// Length of a signature in bytes.
pub const SIGNATURE_BYTES: usize = 32;

/// A key and the names of the cookies that it signs.
#[derive(Clone)]
pub struct Key {
    hmac: Hmac<Sha256>,
    /// Name of the cookie over HTTP.
    pub name: String,
    /// Name of the cookie over HTTPS. Because of its prefix browsers accept the cookie from this host over HTTPS only.
    pub secure_name: String,
}

impl Key {
    /// Creates a key. The names contain a tag of the key, because cookies ignore ports: two installations on one host with
    /// different keys do not overwrite each other's cookies.
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

    /// Returns the HMAC-SHA256 of the concatenated parts.
    pub fn sign(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.mac(purpose, parts).finalize().into_bytes().into()
    }

    /// Compares this value with the signature or a prefix of it, in constant time.
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

/// The current and the previous key.
#[derive(Clone)]
pub struct CookieKeys {
    /// Key that signs and verifies.
    pub current: Key,
    /// Key that only verifies.
    pub previous: Option<Key>,
    /// True if browsers send cookies over HTTPS only.
    pub secure: bool,
}

impl CookieKeys {
    /// Returns the keys that verify cookies and tokens, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Returns the name of the cookie that is set.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.secure {
            &self.current.secure_name
        } else {
            &self.current.name
        }
    }
}

/// Hides the keys, so that they are never logged.
impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieKeys")
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

impl CookieKeys {
    /// Creates keys from the settings. Without a current key a new one is generated, and stored in `key_dir` if it is given.
    ///
    /// # Errors
    /// A text is not a key, or the key file cannot be used.
    pub(crate) fn new(
        current: Option<&str>,
        previous: Option<&str>,
        key_dir: Option<&Path>,
        secure: bool,
    ) -> Result<Self, InvalidCookieKey> {
        let current = match (current, key_dir) {
            (Some(text), _) => parse("COOKIE_KEY", text)?,
            (None, Some(dir)) => load_or_create_key(&dir.join(KEY_FILE))?,
            (None, None) => {
                tracing::warn!(
                    "COOKIE_KEY is not set: other replicas do not recognise our voters, and neither does this one after a restart"
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

/// Parses a key in hexadecimal digits or in any other text: secret managers generate letters, too.
fn parse(variable: &'static str, text: &str) -> Result<Key, InvalidCookieKey> {
    match hex::decode(text) {
        Ok(bytes) if bytes.len() >= KEY_BYTES => Ok(Key::new(&bytes)),
        Err(_) if text.len() >= KEY_BYTES => Ok(Key::new(text.as_bytes())),
        _ => Err(InvalidCookieKey::NotAKey(variable)),
    }
}

/// Loads the key from this file. If the file does not exist, creates it with a new key.
fn load_or_create_key(path: &Path) -> Result<Key, InvalidCookieKey> {
    let file_error = |source| InvalidCookieKey::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        private::create_folder(folder).map_err(file_error)?;
    }
    match write_new(path) {
        Ok(()) => {
            tracing::warn!(path = %path.display(), "COOKIE_KEY is not set: a new key was stored in this file");
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_error(error)),
    }
    let hex = fs::read_to_string(path).map_err(file_error)?;
    parse("COOKIE_KEY", hex.trim()).map_err(|_| {
        file_error(io::Error::other(
            "it contains no key; remove it to get a new one",
        ))
    })
}

/// Creates a key file atomically: the file gets its name when it is complete, so that no reader sees a part of the key.
fn write_new(path: &Path) -> io::Result<()> {
    let temporary = path.with_added_extension(format!("{:016x}", rand::random::<u64>()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    let hex = hex::encode(random_bytes());
    let written = file
        .write_all(hex.as_bytes())
        .and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    written
}

/// Error of a cookie key.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCookieKey {
    /// The text is not a key.
    #[error(
        "{0} is not a key: write at least {KEY_BYTES} bytes, in hexadecimal digits such as `openssl rand -hex 64` prints, or as text"
    )]
    NotAKey(&'static str),
    /// The key file cannot be used.
    #[error("the cookie key in {} cannot be used", path.display())]
    File {
        /// Path of the key file.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_is_loaded_again() {
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
    fn errors_about_invalid_keys_do_not_contain_the_key() {
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
        // As a secret manager generates it.
        assert!(CookieKeys::new(Some(&"q7Zk".repeat(32)), None, None, false).is_ok());
        assert!(
            CookieKeys::new(Some(&"ab".repeat(64)), Some(&"cd".repeat(64)), None, false).is_ok()
        );
    }
}
