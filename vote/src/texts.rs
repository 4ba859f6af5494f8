//! What the voting page says, in every language. The texts are in `vote/locales`.

use serde::Deserialize;
use shared::language::Translations;

use crate::refusal::Refusal;

/// The texts of one language. A field that a file lacks, or one that is not here, is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    pub hint: String,
    accepted: String,
    pub not_counted: String,
    pub uncertain: String,
    pub opens: String,
    pub closes: String,
    pub closed: String,
    pub sending: String,
    pub no_answer: String,
    pub back: String,
    pub results: String,
    served_by: String,
    malformed: String,
    too_large: String,
    unknown_choice: String,
    not_open_yet: String,
    voting_is_over: String,
    too_slow: String,
    cross_site: String,
    overloaded: String,
    timeout: String,
    unavailable: String,
    rate_limited: String,
}

/// The texts in all languages.
pub fn all() -> Translations<Texts> {
    Translations::parse([
        include_str!("../locales/en.toml"),
        include_str!("../locales/de.toml"),
        include_str!("../locales/ko.toml"),
    ])
    .expect("the texts are compiled in, and a test has read them")
}

impl Texts {
    pub fn accepted(&self, option: &str) -> String {
        self.accepted.replace("{option}", option)
    }

    pub fn served_by(&self, instance: &str) -> String {
        self.served_by.replace("{instance}", instance)
    }

    /// Whether the vote counts, as far as is known, and why not.
    pub fn refusal(&self, refusal: &Refusal) -> (&str, &str) {
        let why = match refusal {
            Refusal::Malformed(_) | Refusal::ContentType(_) => &self.malformed,
            Refusal::TooLarge(_) => &self.too_large,
            Refusal::UnknownChoice(_) => &self.unknown_choice,
            Refusal::NotOpenYet(_) => &self.not_open_yet,
            Refusal::Closed(_) => &self.voting_is_over,
            Refusal::TooSlow => &self.too_slow,
            Refusal::RateLimited(_) => &self.rate_limited,
            Refusal::CrossSite => &self.cross_site,
            Refusal::Overloaded => &self.overloaded,
            Refusal::Timeout => return (&self.uncertain, &self.timeout),
            Refusal::Unavailable => return (&self.uncertain, &self.unavailable),
            Refusal::NotStored => &self.unavailable,
        };
        (&self.not_counted, why)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared::{language::Language, queue::QueueError};

    use super::*;

    #[test]
    fn every_language_has_every_text() {
        all();
    }

    #[test]
    fn a_vote_is_said_not_to_count_only_where_that_is_known() {
        let texts = all();
        for (error, is_known) in [
            (QueueError::Timeout(Duration::from_millis(400)), false),
            (QueueError::Unavailable("broken pipe".into()), false),
            (QueueError::Refused("out of memory".into()), true),
        ] {
            let refusal = Refusal::from(error);
            for language in Language::ALL {
                let texts = &texts[language];
                let (counted, _) = texts.refusal(&refusal);
                assert_eq!(counted == texts.not_counted, is_known, "{refusal:?}");
            }
        }
    }
}
