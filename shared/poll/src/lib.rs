//! The poll: question, options and schedule.
//!
//! All services read the same settings, so labels and times are the same in all of them.

pub mod ballot;
mod clock;
mod id;
mod key;
mod known;
mod moment;
#[cfg(feature = "openapi")]
mod openapi;
mod options;
mod schedule;
#[cfg(feature = "settings")]
pub mod settings;

pub use clock::{Clock, ManualClock};
pub use id::{InvalidPollId, PollId};
pub use known::KnownPolls;
pub use moment::{InvalidMoment, Moment};
pub use options::{InvalidOptions, Options, PollOption};
pub use schedule::{InvalidSchedule, Phase, ResultsMode, Schedule};

use crate::ballot::Choice;

/// A valid poll: it has at least two options, and it opens before it closes.
#[derive(Clone, Debug)]
pub struct Poll {
    /// The id, by which votes are counted.
    pub id: PollId,
    /// The question.
    pub question: String,
    /// The options.
    pub options: Options,
    /// The times of voting and of the result.
    pub schedule: Schedule,
}

impl Poll {
    /// Returns the choice with this key.
    ///
    /// # Errors
    /// The poll has no such option; the error lists the options.
    pub fn choice(&self, key: &str) -> Result<Choice, UnknownChoice> {
        self.options.choice(key)
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
            id: "pets".parse().unwrap(),
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
    fn unknown_keys_are_rejected_with_the_allowed_keys() {
        for key in ["", "c", "A", "a ", "a\0", "Cats", &"a".repeat(300)] {
            let message = cats_or_dogs().choice(key).unwrap_err().to_string();
            assert!(message.ends_with("the choices are: a, b"), "{message}");
            assert!(message.len() < 120, "{message}");
        }
    }
}
