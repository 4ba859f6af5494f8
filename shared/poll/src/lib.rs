//! The poll: question, options and schedule.
//!
//! All services read the same settings, so labels and times are the same in all of them.

pub mod ballot;
mod clock;
mod moment;
#[cfg(feature = "openapi")]
mod openapi;
mod options;
mod schedule;
#[cfg(feature = "settings")]
pub mod settings;

use std::collections::BTreeSet;

pub use clock::{Clock, ManualClock};
pub use moment::{InvalidMoment, Moment};
pub use options::{InvalidOptions, Options, PollOption};
pub use schedule::{InvalidSchedule, Phase, ResultsMode, Schedule};

use sha2::{Digest, Sha256};

use crate::ballot::Choice;

/// A valid poll: it has at least two options, and it opens before it closes.
#[derive(Clone, Debug)]
pub struct Poll {
    /// The question.
    pub question: String,
    /// The options.
    pub options: Options,
    /// The times of voting and of the result.
    pub schedule: Schedule,
}

/// Number of bytes of the hash in a poll's id.
const ID_BYTES: usize = 4;

impl Poll {
    /// Returns the id of the poll: the first 8 hexadecimal digits of SHA-256 over the question and the keys of the options. It is the same
    /// on every replica, and does not depend on the labels or the order of the options.
    #[must_use]
    pub fn id(&self) -> String {
        // Questions and keys contain no line breaks.
        let mut hash = Sha256::new_with_prefix(&self.question);
        let keys = self.options.iter().map(|option| option.key.as_str());
        // Sorted, so that the id does not depend on the display order.
        for key in keys.collect::<BTreeSet<_>>() {
            hash.update("\n");
            hash.update(key);
        }
        hex::encode(&hash.finalize()[..ID_BYTES])
    }

    /// Returns the choice with this key.
    ///
    /// # Errors
    /// The poll has no such option; the error lists the options.
    pub fn choice(&self, key: &str) -> Result<Choice, UnknownChoice> {
        self.options
            .iter()
            .find(|option| option.key.as_str() == key)
            .map(|option| option.key.clone())
            .ok_or_else(|| UnknownChoice {
                key: abbreviate(key),
                allowed: self.options.keys(),
            })
    }
}

/// Shortens untrusted text for an error message, to 40 characters.
#[must_use]
pub fn abbreviate(text: &str) -> String {
    const MAX_SHOWN: usize = 40;
    if text.chars().count() <= MAX_SHOWN {
        return text.to_owned();
    }
    text.chars().take(MAX_SHOWN).chain(['…']).collect()
}

/// The poll has no option with this key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{key:?} is not a choice in this poll; the choices are: {allowed}")]
pub struct UnknownChoice {
    /// The key, shortened.
    pub key: String,
    /// The keys of the options, such as `a, b`.
    pub allowed: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cats_or_dogs() -> Poll {
        Poll {
            question: "Cats or Dogs?".into(),
            options: "a=Cats,b=Dogs".parse().unwrap(),
            schedule: Schedule::always(),
        }
    }

    #[test]
    fn the_key_of_an_option_is_a_valid_choice() {
        assert_eq!(cats_or_dogs().choice("b").unwrap().as_str(), "b");
    }

    #[test]
    fn the_id_depends_on_the_question_and_the_keys_but_not_on_labels() {
        let poll = cats_or_dogs();
        // printf 'Cats or Dogs?\na\nb' | sha256sum
        assert_eq!(poll.id(), "6998f771");
        let with = |question: &str, options: &str| Poll {
            question: question.into(),
            options: options.parse().unwrap(),
            schedule: Schedule::always(),
        };
        assert_eq!(with("Cats or Dogs?", "a=Cat,b=Dog").id(), poll.id());
        assert_eq!(with("Cats or Dogs?", "b=Dogs,a=Cats").id(), poll.id());
        assert_ne!(with("Cats or dogs?", "a=Cats,b=Dogs").id(), poll.id());
        assert_ne!(with("Cats or Dogs?", "a=Cats,c=Dogs").id(), poll.id());
        assert_ne!(
            with("Cats or Dogs?", "a=Cats,b=Dogs,c=Both").id(),
            poll.id()
        );
    }

    #[test]
    fn unknown_keys_are_rejected_with_the_allowed_keys() {
        for key in ["", "c", "A", "a ", "a\0", "Cats", &"a".repeat(300)] {
            let message = cats_or_dogs().choice(key).unwrap_err().to_string();
            assert!(message.ends_with("the choices are: a, b"), "{message}");
            assert!(message.len() < 120, "{message}");
        }
    }
}
