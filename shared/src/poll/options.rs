//! What may be chosen: `a=Cats,b=Dogs`.

use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};

use crate::ballot::Choice;

const MIN_OPTIONS: usize = 2;
const MAX_OPTIONS: usize = 20;
const MAX_KEY: usize = 32;
const MAX_LABEL: usize = 100;

/// One answer to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollOption {
    /// What is stored and counted, such as `a`.
    pub key: Choice,
    /// What voters read, such as `Cats`.
    pub label: String,
}

/// The answers, in the order they are shown: 2 to 20, each with a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options(Vec<PollOption>);

impl Options {
    /// The answers, in the order they are shown.
    pub fn iter(&self) -> std::slice::Iter<'_, PollOption> {
        self.0.iter()
    }

    /// All keys, for a message: `a, b`.
    #[must_use]
    pub fn keys(&self) -> String {
        self.iter()
            .map(|option| option.key.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Gives the option with this key another label; `false` where there is no such option.
    pub(crate) fn relabel(&mut self, key: &str, label: &str) -> Result<bool, InvalidOptions> {
        let label = parse_label(key, label)?;
        let option = self.0.iter_mut().find(|option| option.key.as_str() == key);
        Ok(option.map(|option| option.label = label).is_some())
    }
}

impl<'a> IntoIterator for &'a Options {
    type Item = &'a PollOption;
    type IntoIter = std::slice::Iter<'a, PollOption>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, option) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}={}", option.key, option.label)?;
        }
        Ok(())
    }
}

impl FromStr for Options {
    type Err = InvalidOptions;

    fn from_str(raw: &str) -> Result<Self, InvalidOptions> {
        let options = raw
            .split(',')
            .map(parse_option)
            .collect::<Result<Vec<_>, _>>()?;
        if !(MIN_OPTIONS..=MAX_OPTIONS).contains(&options.len()) {
            return Err(InvalidOptions::Count(options.len()));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = options.iter().find(|option| !seen.insert(&option.key)) {
            return Err(InvalidOptions::Twice(twice.key.to_string()));
        }
        Ok(Self(options))
    }
}

fn parse_option(raw: &str) -> Result<PollOption, InvalidOptions> {
    let (key, label) = raw
        .split_once('=')
        .ok_or_else(|| InvalidOptions::NoLabel(raw.trim().to_owned()))?;
    let key = key.trim();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(allowed) {
        return Err(InvalidOptions::Key(key.to_owned()));
    }
    Ok(PollOption {
        key: Choice(Arc::from(key)),
        label: parse_label(key, label)?,
    })
}

fn parse_label(key: &str, label: &str) -> Result<String, InvalidOptions> {
    let label = label.trim();
    if label.is_empty() || label.chars().count() > MAX_LABEL || label.chars().any(char::is_control)
    {
        return Err(InvalidOptions::Label(key.to_owned()));
    }
    Ok(label.to_owned())
}

/// The options cannot be voted on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// Too few or too many.
    #[error("a poll has {MIN_OPTIONS} to {MAX_OPTIONS} options, not {0}")]
    Count(usize),
    /// An option without `=`.
    #[error("{0:?} is not an option; write key=label, such as a=Cats,b=Dogs")]
    NoLabel(String),
    /// A key that could not be stored and compared everywhere.
    #[error("{0:?} is not an option's key; allowed are 1 to {MAX_KEY} of a-z, 0-9 and hyphen")]
    Key(String),
    /// Nothing a voter could read.
    #[error(
        "the label of option {0:?} must have 1 to {MAX_LABEL} characters and no control characters"
    )]
    Label(String),
    /// The same key twice.
    #[error("the option {0:?} is there twice; every option has a key of its own")]
    Twice(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_may_hold_spaces_signs_and_any_script() {
        let options: Options = "a = Cats & co , b=개=🐶".parse().unwrap();
        assert_eq!(options.to_string(), "a=Cats & co,b=개=🐶");
        assert_eq!(options.keys(), "a, b");
    }

    #[test]
    fn impossible_polls_are_refused() {
        use InvalidOptions as No;
        let cases = [
            ("a=Cats", No::Count(1)),
            ("", No::NoLabel(String::new())),
            ("a=Cats,b", No::NoLabel("b".into())),
            ("a=Cats,b=", No::Label("b".into())),
            ("a=Cats,b=\u{7}", No::Label("b".into())),
            ("a=Cats,B=Dogs", No::Key("B".into())),
            ("a=Cats,=Dogs", No::Key(String::new())),
            ("a=Cats,a=Dogs", No::Twice("a".into())),
        ];
        for (raw, why) in cases {
            assert_eq!(raw.parse::<Options>().unwrap_err(), why, "{raw:?}");
        }
        let many = |count| {
            (0..count)
                .map(|n| format!("o{n}=x"))
                .collect::<Vec<_>>()
                .join(",")
                .parse::<Options>()
        };
        assert!(many(20).is_ok());
        assert_eq!(many(21).unwrap_err(), No::Count(21));
        assert!(
            format!("{}=x,b=y", "k".repeat(32))
                .parse::<Options>()
                .is_ok()
        );
        assert!(
            format!("{}=x,b=y", "k".repeat(33))
                .parse::<Options>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn options_survive_writing_and_reading(keys in proptest::collection::hash_set("[a-z0-9-]{1,32}", 2..=20)) {
            let raw = keys.iter().map(|key| format!("{key}=the {key}")).collect::<Vec<_>>().join(",");
            prop_assert_eq!(raw.parse::<Options>().unwrap().to_string(), raw);
        }

        #[test]
        fn no_text_makes_parsing_panic(raw in "\\PC*") {
            let _ = raw.parse::<Options>();
        }
    }
}
