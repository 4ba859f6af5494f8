//! The id of a poll.

use std::{borrow::Borrow, collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Options,
    key::{MAX_LENGTH, is_key},
};

/// Number of bytes of the hash in a computed id.
const HASH_BYTES: usize = 4;

/// The id of a poll: 1 to 32 characters of a-z, 0-9 and hyphen. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct PollId(Arc<str>);

impl PollId {
    /// Computes the id of a poll that was given none: the first 8 hexadecimal digits of SHA-256 over the question and the keys of the
    /// options. It is the same on every replica, and does not depend on the labels or the order of the options.
    #[must_use]
    pub fn compute(question: &str, options: &Options) -> Self {
        // Questions and keys contain no line breaks.
        let mut hash = Sha256::new_with_prefix(question);
        let keys = options.iter().map(|option| option.key.as_str());
        // Sorted, so that the id does not depend on the display order.
        for key in keys.collect::<BTreeSet<_>>() {
            hash.update("\n");
            hash.update(key);
        }
        Self(hex::encode(&hash.finalize()[..HASH_BYTES]).into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Looks up a poll in a map by the text of its id. Equal ids have the same hash as their texts.
impl Borrow<str> for PollId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PollId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PollId {
    type Err = InvalidPollId;

    fn from_str(raw: &str) -> Result<Self, InvalidPollId> {
        if is_key(raw) {
            Ok(Self(raw.into()))
        } else {
            Err(InvalidPollId)
        }
    }
}

impl TryFrom<String> for PollId {
    type Error = InvalidPollId;

    fn try_from(raw: String) -> Result<Self, InvalidPollId> {
        raw.parse()
    }
}

/// The text is not a poll id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a poll id has 1 to {MAX_LENGTH} characters of a-z, 0-9 and hyphen, such as cats-or-dogs")]
pub struct InvalidPollId;

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(question: &str, options: &str) -> PollId {
        PollId::compute(question, &options.parse().unwrap())
    }

    #[test]
    fn a_computed_id_depends_on_the_question_and_the_keys_but_not_on_labels() {
        let id = computed("Cats or Dogs?", "a=Cats,b=Dogs");
        // printf 'Cats or Dogs?\na\nb' | sha256sum
        assert_eq!(id.as_str(), "6998f771");
        assert_eq!(computed("Cats or Dogs?", "a=Cat,b=Dog"), id);
        assert_eq!(computed("Cats or Dogs?", "b=Dogs,a=Cats"), id);
        assert_ne!(computed("Cats or dogs?", "a=Cats,b=Dogs"), id);
        assert_ne!(computed("Cats or Dogs?", "a=Cats,c=Dogs"), id);
        assert_ne!(computed("Cats or Dogs?", "a=Cats,b=Dogs,c=Both"), id);
    }

    #[test]
    fn malformed_ids_are_rejected() {
        for raw in ["", "A", "a b", "a_b", "a/b", "ä", &"a".repeat(33)] {
            assert_eq!(raw.parse::<PollId>(), Err(InvalidPollId), "{raw:?}");
        }
        for raw in ["a", "6998f771", "cats-or-dogs-2", &"a".repeat(32)] {
            assert_eq!(raw.parse::<PollId>().unwrap().as_str(), raw);
        }
    }
}
