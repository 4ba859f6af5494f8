//! The poll: the question, what may be chosen, when, and when the result may be seen.
//!
//! All services read the same settings, so a label or a closing time can never differ between them.

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

/// A poll that can be held: at least two options, opening before it closes.
#[derive(Clone, Debug)]
pub struct Poll {
    /// What the voters are asked.
    pub question: String,
    /// What they may answer.
    pub options: Options,
    /// When they may answer, and when the result is shown.
    pub schedule: Schedule,
}

/// The number of bytes of a poll's hash that are its id.
const ID_BYTES: usize = 4;

impl Poll {
    /// The poll's id: the first 8 hexadecimal digits of SHA-256 over the question and the options' keys, which every replica
    /// computes alike. Labels may be corrected, and options put into another order, without a new one.
    #[must_use]
    pub fn id(&self) -> String {
        // Neither a question nor a key holds a line break.
        let mut hash = Sha256::new_with_prefix(&self.question);
        let keys = self.options.iter().map(|option| option.key.as_str());
        // In whatever order they are shown.
        for key in keys.collect::<BTreeSet<_>>() {
            hash.update("\n");
            hash.update(key);
        }
        hex::encode(&hash.finalize()[..ID_BYTES])
    }

    /// The choice with this key.
    ///
    /// # Errors
    /// The poll has no such option; the error names those it has.
    pub fn choice(&self, key: &str) -> Result<Choice, UnknownChoice> {
        self.options
            .iter()
            .find(|option| option.key.as_str() == key)
            .map(|option| option.key.clone())
            .ok_or_else(|| UnknownChoice {
                key: abbreviated(key),
                allowed: self.options.keys(),
            })
    }
}

/// The beginning of a wrong name: an error message repeats no more of it than a person needs to recognise it.
#[must_use]
pub fn abbreviated(key: &str) -> String {
    const SHOWN: usize = 40;
    if key.chars().count() <= SHOWN {
        return key.to_owned();
    }
    key.chars().take(SHOWN).chain(['…']).collect()
}

/// The poll does not offer this choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is not a choice in this poll; the choices are: {allowed}")]
pub struct UnknownChoice {
    /// The beginning of the key.
    pub key: String,
    /// The keys of the poll's options, such as `a, b`.
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
    fn a_key_of_the_poll_is_a_choice() {
        assert_eq!(cats_or_dogs().choice("b").unwrap().as_str(), "b");
    }

    #[test]
    fn another_question_or_other_keys_are_another_poll_and_other_labels_are_not() {
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
    fn anything_else_is_refused_with_the_keys_that_are_allowed() {
        for key in ["", "c", "A", "a ", "a\0", "Cats", &"a".repeat(300)] {
            let message = cats_or_dogs().choice(key).unwrap_err().to_string();
            assert!(message.ends_with("the choices are: a, b"), "{message}");
            assert!(message.len() < 120, "{message}");
        }
    }
}
