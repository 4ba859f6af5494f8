//! The poll: the question, what may be chosen, when, and when the result may be seen.
//!
//! All services read the same settings, so a label or a closing time can never differ between them.

mod clock;
mod options;
mod schedule;

pub use clock::{Clock, ManualClock};
pub use options::{InvalidOptions, Options, PollOption};
pub use schedule::{InvalidSchedule, Phase, ResultsMode, Schedule};

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

impl Poll {
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

/// An error message repeats no more of a wrong key than a person needs to recognise it.
fn abbreviated(key: &str) -> String {
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
    key: String,
    allowed: String,
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
    fn anything_else_is_refused_with_the_keys_that_are_allowed() {
        for key in ["", "c", "A", "a ", "a\0", "Cats", &"a".repeat(300)] {
            let message = cats_or_dogs().choice(key).unwrap_err().to_string();
            assert!(message.ends_with("the choices are: a, b"), "{message}");
            assert!(message.len() < 120, "{message}");
        }
    }
}
