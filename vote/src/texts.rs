//! Texts of the voting page in all languages. The files are in `vote/locales`.

use std::borrow::Cow;

use askama::Template;
use serde::Deserialize;
use web::language::Translations;

use crate::vote_error::VoteError;

/// Texts of one language. A missing or an unknown field in a file is an error.
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
    pub voter_id: String,
    pub no_voter_id: String,
    served_by: String,
    malformed: String,
    too_large: String,
    unknown_choice: String,
    other_poll: String,
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

/// A text that contains an option's label. The label may have another script and direction than the text.
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
    /// Replaces `{option}` in the text by the label.
    fn new(text: &'a str, option: &'a str) -> Self {
        let (before, after) = text.split_once("{option}").unwrap_or((text, ""));
        Self {
            before,
            option,
            after,
        }
    }
}

/// Loads the texts of all languages.
pub fn load() -> Translations<Texts> {
    Translations::parse([
        include_str!("../locales/en.toml"),
        include_str!("../locales/de.toml"),
        include_str!("../locales/ko.toml"),
    ])
    .expect("the texts are compiled in, and a unit test parses them")
}

impl Texts {
    /// Returns the notice that the vote for this option is accepted.
    pub fn accepted<'a>(&'a self, option: &'a str) -> OptionText<'a> {
        OptionText::new(&self.accepted, option)
    }

    /// Returns the notice that the vote for this option is accepted and cannot be changed.
    pub fn stands<'a>(&'a self, option: &'a str) -> OptionText<'a> {
        OptionText::new(&self.stands, option)
    }

    /// Returns the footer with the name of the instance.
    pub fn served_by(&self, instance: &str) -> String {
        self.served_by.replace("{instance}", instance)
    }

    /// Returns the outcome of a vote that was not accepted, and the reason.
    pub fn vote_error(&self, error: &VoteError) -> (&str, Cow<'_, str>) {
        let reason = match error {
            VoteError::Malformed(_) | VoteError::ContentType(_) => &self.malformed,
            VoteError::TooLarge(_) => &self.too_large,
            VoteError::UnknownChoice(_) => &self.unknown_choice,
            VoteError::OtherPoll(_) => &self.other_poll,
            VoteError::NotOpenYet(_) => &self.not_open_yet,
            VoteError::Closed(_) => &self.voting_is_over,
            VoteError::TooSlow => &self.too_slow,
            VoteError::RateLimited(seconds) => {
                return (&self.not_counted, self.rate_limited(*seconds).into());
            }
            VoteError::CrossSite => &self.cross_site,
            VoteError::NoCookie => &self.no_cookie,
            VoteError::Overloaded => &self.overloaded,
            VoteError::Timeout | VoteError::Unavailable => {
                return (&self.uncertain, Cow::from(&self.only_last));
            }
            VoteError::NotStored => &self.unavailable,
        };
        (&self.not_counted, Cow::from(reason))
    }

    fn rate_limited(&self, seconds: u32) -> String {
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
        load();
    }

    #[test]
    fn the_rate_limit_text_contains_the_wait() {
        let texts = load();
        let reason = |language: Language, seconds| {
            let (_, reason) = texts[language].vote_error(&VoteError::RateLimited(seconds));
            reason.into_owned()
        };
        assert!(reason(Language::English, 30).ends_with("Please try again in 30 seconds."));
        assert!(reason(Language::English, 1).ends_with("in 1 second."));
        assert!(reason(Language::German, 1).contains("in 1 Sekunde noch einmal"));
        assert!(reason(Language::Korean, 30).contains("30초 후"));
    }

    #[test]
    fn not_counted_is_shown_only_if_it_is_certain() {
        let texts = load();
        for (error, is_certain) in [
            (QueueError::Timeout(Duration::from_millis(400)), false),
            (QueueError::Unavailable("broken pipe".into()), false),
            (QueueError::Rejected("out of memory".into()), true),
        ] {
            let error = VoteError::from(error);
            for language in Language::ALL {
                let texts = &texts[language];
                let (counted, _) = texts.vote_error(&error);
                assert_eq!(counted == texts.not_counted, is_certain, "{error:?}");
            }
        }
    }
}
