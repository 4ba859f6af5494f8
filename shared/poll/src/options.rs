//! The options of a poll: `a=Cats,b=Dogs`, or labels without keys, `Cats,Dogs`, which get the keys a, b, ….
//!
//! A backslash escapes a comma, an equals sign or a backslash: `Yes\, really,1+1\=2`.

use std::{collections::HashSet, fmt, mem, str::FromStr, sync::Arc};

use crate::{
    UnknownChoice, abbreviate,
    ballot::Choice,
    key::{MAX_LENGTH as MAX_KEY_LENGTH, is_key},
};

const MIN_OPTIONS: usize = 2;
const MAX_OPTIONS: usize = 20;
const MAX_LABEL_LENGTH: usize = 100;

/// An option of the poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollOption {
    /// The key, which is stored and counted, such as `a`.
    pub key: Choice,
    /// The label that voters see, such as `Cats`.
    pub label: String,
}

/// The options of a poll in display order: 2 to 20, with unique keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options(Vec<PollOption>);

impl Options {
    /// Returns the options in display order.
    pub fn iter(&self) -> std::slice::Iter<'_, PollOption> {
        self.0.iter()
    }

    /// Returns all keys for a message: `a, b`.
    #[must_use]
    pub fn keys(&self) -> String {
        self.iter()
            .map(|option| option.key.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Returns the choice with this key.
    ///
    /// # Errors
    /// There is no such option; the error lists the options.
    pub fn choice(&self, key: &str) -> Result<Choice, UnknownChoice> {
        self.iter()
            .find(|option| option.key.as_str() == key)
            .map(|option| option.key.clone())
            .ok_or_else(|| UnknownChoice {
                key: abbreviate(key),
                allowed: self.keys(),
            })
    }

    /// Sets the label of the option with this key. Returns false if there is no such option.
    pub fn relabel(&mut self, key: &str, label: &str) -> Result<bool, InvalidOptions> {
        let label = parse_label(key, label)?;
        let option = self.0.iter_mut().find(|option| option.key.as_str() == key);
        Ok(option.map(|option| option.label = label).is_some())
    }

    /// Rejects equal labels. Any sequence of white space is compared as one space, as browsers display it.
    pub fn check_labels(&self) -> Result<(), InvalidOptions> {
        let mut seen = HashSet::new();
        let displayed = |option: &PollOption| {
            let words: Vec<_> = option.label.split_whitespace().collect();
            words.join(" ")
        };
        match self.iter().find(|option| !seen.insert(displayed(option))) {
            Some(duplicate) => Err(InvalidOptions::SameLabel(duplicate.label.clone())),
            None => Ok(()),
        }
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
            let label = option.label.replace('\\', r"\\").replace(',', r"\,");
            write!(f, "{comma}{}={label}", option.key)?;
        }
        Ok(())
    }
}

impl FromStr for Options {
    type Err = InvalidOptions;

    fn from_str(raw: &str) -> Result<Self, InvalidOptions> {
        let entries = split_entries(raw);
        if !(MIN_OPTIONS..=MAX_OPTIONS).contains(&entries.len()) {
            return Err(InvalidOptions::Count(entries.len()));
        }
        if let Some(index) = entries.iter().position(Entry::is_empty) {
            return Err(InvalidOptions::Empty(index + 1));
        }
        let have_keys = entries.iter().any(|entry| entry.key.is_some());
        let options = ('a'..).zip(entries).map(|(letter, entry)| {
            let key = match entry.key {
                Some(key) => parse_key(&key)?,
                None if have_keys => {
                    return Err(InvalidOptions::NoKey(entry.label.trim().to_owned()));
                }
                None => Choice(Arc::from(letter.encode_utf8(&mut [0; 1]) as &str)),
            };
            let label = parse_label(key.as_str(), &entry.label)?;
            Ok(PollOption { key, label })
        });
        let options = options.collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        if let Some(duplicate) = options.iter().find(|option| !seen.insert(&option.key)) {
            return Err(InvalidOptions::SameKey(duplicate.key.to_string()));
        }
        let options = Self(options);
        options.check_labels()?;
        Ok(options)
    }
}

/// An option before validation, with its escapes resolved.
#[derive(Default)]
struct Entry {
    /// The text before the first equals sign, if there is one.
    key: Option<String>,
    /// The text after the first equals sign, or the whole text.
    label: String,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.key.is_none() && self.label.trim().is_empty()
    }
}

/// Splits a list at its commas into one or more entries.
fn split_entries(raw: &str) -> Vec<Entry> {
    let (mut entries, mut entry) = (Vec::new(), Entry::default());
    let mut rest = raw.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => {
                let escaped = rest.next_if(|next| matches!(next, ',' | '=' | '\\'));
                entry.label.push(escaped.unwrap_or(character));
            }
            ',' => entries.push(mem::take(&mut entry)),
            '=' if entry.key.is_none() => entry.key = Some(mem::take(&mut entry.label)),
            other => entry.label.push(other),
        }
    }
    entries.push(entry);
    entries
}

fn parse_key(key: &str) -> Result<Choice, InvalidOptions> {
    let key = key.trim();
    if is_key(key) {
        Ok(Choice(Arc::from(key)))
    } else {
        Err(InvalidOptions::Key(key.to_owned()))
    }
}

fn parse_label(key: &str, label: &str) -> Result<String, InvalidOptions> {
    let label = label.trim();
    if label.is_empty()
        || label.chars().count() > MAX_LABEL_LENGTH
        || label.chars().any(char::is_control)
    {
        return Err(InvalidOptions::Label(key.to_owned()));
    }
    Ok(label.to_owned())
}

/// The options are invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// There are too few or too many options.
    #[error("a poll has {MIN_OPTIONS} to {MAX_OPTIONS} options, not {0}")]
    Count(usize),
    /// An entry is empty.
    #[error(
        "option {0} is empty; write one comma between two options, such as Cats,Dogs or a=Cats,b=Dogs"
    )]
    Empty(usize),
    /// An option has no key, but others have one.
    #[error(
        "the option {0:?} has no key, but others have one; give a key to all, as in a=Cats,b=Dogs, or to none, as in \
         Cats,Dogs; in a label, write a comma as \\, and an equals sign as \\="
    )]
    NoKey(String),
    /// A key is invalid.
    #[error(
        "{0:?} is not a valid key; write 1 to {MAX_KEY_LENGTH} characters of a-z, 0-9 and hyphen; in a label, write an \
         equals sign as \\="
    )]
    Key(String),
    /// A label is invalid.
    #[error(
        "the label of option {0:?} must have 1 to {MAX_LABEL_LENGTH} characters and no control characters"
    )]
    Label(String),
    /// Two options have the same key.
    #[error("the option {0:?} occurs twice; each option needs a unique key")]
    SameKey(String),
    /// Two options have the same label.
    #[error("the label {0:?} occurs twice; each option needs a unique label")]
    SameLabel(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_may_contain_spaces_symbols_and_any_script() {
        let options: Options = "a = Cats & co , b=개=🐶".parse().unwrap();
        assert_eq!(options.to_string(), "a=Cats & co,b=개=🐶");
        assert_eq!(options.keys(), "a, b");
    }

    #[test]
    fn labels_without_keys_get_letters_as_keys() {
        let options: Options = " Pizza ,Soup, Anything else".parse().unwrap();
        assert_eq!(options.to_string(), "a=Pizza,b=Soup,c=Anything else");
        let labels: Vec<_> = (1..=20).map(|number| format!("Option {number}")).collect();
        let options: Options = labels.join(",").parse().unwrap();
        assert!(options.keys().ends_with("r, s, t"), "{}", options.keys());
    }

    #[test]
    fn a_backslash_escapes_separators() {
        for (raw, first) in [
            (r"a=Yes\, really,b=No", "Yes, really"),
            (r"Yes\, really,No", "Yes, really"),
            (r"1+1\=2,No", "1+1=2"),
            (r"a=1+1=2,b=No", "1+1=2"),
            (r"C:\\,D:", r"C:\"),
            (r"C:\dir,D:", r"C:\dir"),
            (r"a=x\\\,y,b=No", r"x\,y"),
        ] {
            let options: Options = raw.parse().unwrap();
            let labels: Vec<_> = options.iter().map(|option| &option.label).collect();
            assert_eq!((labels.len(), labels[0].as_str()), (2, first), "{raw}");
        }
        let options: Options = r"Yes,No\".parse().unwrap();
        assert_eq!(options.to_string(), r"a=Yes,b=No\\");
    }

    #[test]
    fn equal_labels_are_rejected() {
        for raw in ["a=Cats,b=Cats", "Cats,Dogs, Cats", "Hot  soup,Hot soup"] {
            let error = raw.parse::<Options>().unwrap_err();
            assert!(matches!(error, InvalidOptions::SameLabel(_)), "{raw}");
        }
    }

    #[test]
    fn invalid_options_are_rejected() {
        use InvalidOptions as Error;
        let cases = [
            ("a=Cats", Error::Count(1)),
            ("", Error::Count(1)),
            ("Cats", Error::Count(1)),
            (",", Error::Empty(1)),
            ("Cats,,Dogs", Error::Empty(2)),
            ("a=Cats,b=Dogs, ", Error::Empty(3)),
            ("a=Cats,b", Error::NoKey("b".into())),
            ("Cats,b=Dogs", Error::NoKey("Cats".into())),
            ("a=Yes, really,b=No", Error::NoKey("really".into())),
            ("1+1=2,1+1=3", Error::Key("1+1".into())),
            (r"a\,b=Cats,b=Dogs", Error::Key("a,b".into())),
            ("Cats,\u{7}", Error::Label("b".into())),
            ("a=Cats,b=", Error::Label("b".into())),
            ("a=Cats,b=\u{7}", Error::Label("b".into())),
            ("a=Cats,B=Dogs", Error::Key("B".into())),
            ("a=Cats,=Dogs", Error::Key(String::new())),
            ("a=Cats,a=Dogs", Error::SameKey("a".into())),
        ];
        for (raw, reason) in cases {
            assert_eq!(raw.parse::<Options>().unwrap_err(), reason, "{raw:?}");
        }
        let many = |count| {
            (0..count)
                .map(|n| format!("o{n}=x {n}"))
                .collect::<Vec<_>>()
                .join(",")
                .parse::<Options>()
        };
        assert!(many(20).is_ok());
        assert_eq!(many(21).unwrap_err(), Error::Count(21));
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
        fn options_round_trip_as_text(labels in proptest::collection::btree_map("[a-z0-9-]{1,32}", r"[a-c,=\\]{0,9}", 2..=20)) {
            // Each label begins with its key, so that most labels are unique.
            let option = |(key, label)| PollOption { label: format!("{key}{label}"), key: Choice(Arc::from(key)) };
            let options = Options(labels.into_iter().map(option).collect());
            prop_assume!(options.check_labels().is_ok());
            prop_assert_eq!(options.to_string().parse::<Options>().unwrap(), options);
        }

        #[test]
        fn parsing_never_panics(raw in "\\PC*") {
            let _ = raw.parse::<Options>();
        }
    }
}
