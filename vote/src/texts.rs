//! What the voting page says, in every language. The texts are in `vote/locales`.

use std::borrow::Cow;

use askama::Template;
use serde::Deserialize;
use web::language::Translations;

use crate::refusal::Refusal;

/// The texts of one language. A field that a file lacks, or one that is not here, is an error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    pub hint: String,
    accepted: String,
    stands: String,
    pub cookie_not_kept: String,
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
    pub not_open_yet: String,
    pub voting_is_over: String,
    too_slow: String,
    cross_site: String,
    no_cookie: String,
    overloaded: String,
    only_last: String,
    unavailable: String,
    rate_limited: String,
    one_second: String,
    many_seconds: String,
}

/// A text with an option's label in it, which may be of another script and direction.
#[derive(Template)]
#[template(
    ext = "html",
    source = "{{ before }}<bdi>{{ option }}</bdi>{{ after }}"
)]
pub struct OptionText<'a> {
    before: &'a str,
    option: &'a str,
    after: &'a str,
}

impl<'a> OptionText<'a> {
    /// The label takes the place of `{option}` in the text.
    fn new(text: &'a str, option: &'a str) -> Self {
        let (before, after) = text.split_once("{option}").unwrap_or((text, ""));
        Self {
            before,
            option,
            after,
        }
    }
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
    pub fn accepted<'a>(&'a self, option: &'a str) -> OptionText<'a> {
        OptionText::new(&self.accepted, option)
    }

    /// The vote for this option, which cannot be changed any more.
    pub fn stands<'a>(&'a self, option: &'a str) -> OptionText<'a> {
        OptionText::new(&self.stands, option)
    }

    pub fn served_by(&self, instance: &str) -> String {
        self.served_by.replace("{instance}", instance)
    }

    /// Whether the vote counts, as far as is known, and why not.
    pub fn refusal(&self, refusal: &Refusal) -> (&str, Cow<'_, str>) {
        let why = match refusal {
            Refusal::Malformed(_) | Refusal::ContentType(_) => &self.malformed,
            Refusal::TooLarge(_) => &self.too_large,
            Refusal::UnknownChoice(_) => &self.unknown_choice,
            Refusal::NotOpenYet(_) => &self.not_open_yet,
            Refusal::Closed(_) => &self.voting_is_over,
            Refusal::TooSlow => &self.too_slow,
            Refusal::RateLimited(seconds) => {
                return (&self.not_counted, self.too_many(*seconds).into());
            }
            Refusal::CrossSite => &self.cross_site,
            Refusal::NoCookie => &self.no_cookie,
            Refusal::Overloaded => &self.overloaded,
            Refusal::Timeout | Refusal::Unavailable => {
                return (&self.uncertain, Cow::from(&self.only_last));
            }
            Refusal::NotStored => &self.unavailable,
        };
        (&self.not_counted, Cow::from(why))
    }

    fn too_many(&self, seconds: u32) -> String {
        let wait = match seconds {
            1 => self.one_second.clone(),
            _ => self.many_seconds.replace("{n}", &seconds.to_string()),
        };
        self.rate_limited.replace("{wait}", &wait)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use queue::QueueError;
    use web::language::Language;

    use super::*;

    #[test]
    fn every_language_has_every_text() {
        all();
    }

    #[test]
    fn too_many_votes_are_told_how_long_to_wait() {
        let texts = all();
        let said = |language: Language, seconds| {
            let (_, why) = texts[language].refusal(&Refusal::RateLimited(seconds));
            why.into_owned()
        };
        assert!(said(Language::English, 30).ends_with("Please try again in 30 seconds."));
        assert!(said(Language::English, 1).ends_with("in 1 second."));
        assert!(said(Language::German, 1).contains("in 1 Sekunde noch einmal"));
        assert!(said(Language::Korean, 30).contains("30초 후"));
    }

    #[test]
    fn a_vote_is_said_not_to_count_only_where_that_is_known() {
        let texts = all();
        for (error, is_known) in [
            (QueueError::Timeout(Duration::from_millis(400)), false),
            (QueueError::Unavailable("broken pipe".into()), false),
            (QueueError::Rejected("out of memory".into()), true),
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
