//! The form of keys: of options, and the ids of polls.

/// Maximum length in bytes.
pub const MAX_LENGTH: usize = 32;

/// Returns true if the text is a key: 1 to 32 characters of a-z, 0-9 and hyphen.
pub fn is_key(raw: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !raw.is_empty() && raw.len() <= MAX_LENGTH && raw.bytes().all(allowed)
}
