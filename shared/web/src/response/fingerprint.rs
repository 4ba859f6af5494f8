//! Fingerprints of content for entity tags, event ids and the names of static files.

use sha2::{Digest, Sha256};

/// Returns the first 16 hexadecimal digits of the SHA-256 hash of the content: the same in every build and on every replica.
///
/// # Panics
/// Never: a hash has more than 8 bytes.
#[must_use]
pub fn fingerprint(content: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(content);
    let first = digest.first_chunk().expect("SHA-256 has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_beginning_of_sha_256() {
        // printf cats | sha256sum
        assert_eq!(fingerprint("cats"), "d936608baaacc6b7");
    }
}
