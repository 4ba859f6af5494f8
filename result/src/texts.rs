//! The texts of the result page in all languages, from `result/locales`.

use serde::Deserialize;
use web::language::Translations;

/// The texts of one language. A missing or unknown field in a file is an error.
///
/// The page passes some of them, with their placeholders, to its script.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    title: String,
    pub no_votes: String,
    pub no_votes_final: String,
    pub one_vote: String,
    pub many_votes: String,
    pub percent: String,
    pub decimal: String,
    pub opens: String,
    pub closes: String,
    pub closed: String,
    pub winner: String,
    pub tie: String,
    pub no_votes_cast: String,
    pub hidden: String,
    pub not_read_yet: String,
    pub last_vote: String,
    pub live: String,
    pub polling: String,
    pub delayed: String,
    pub counting_seconds: String,
    pub counting_minutes: String,
    pub offline: String,
    pub reload: String,
    pub chart: String,
    pub chart_empty: String,
    pub chart_hint: String,
    pub table: String,
    pub time: String,
    pub vote_here: String,
    pub qr: String,
    pub downloads: String,
    pub all_polls: String,
    pub current_poll: String,
    pub no_polls: String,
    served_by: String,
}

/// Loads the texts of all languages.
pub fn load() -> Translations<Texts> {
    Translations::parse([
        include_str!("../locales/en.toml"),
        include_str!("../locales/de.toml"),
        include_str!("../locales/ko.toml"),
    ])
    .expect("the texts are compiled in, and a test loads them")
}

impl Texts {
    pub fn title(&self, question: &str) -> String {
        self.title.replace("{question}", question)
    }

    /// The number of votes, in the words of the original app.
    pub fn votes(&self, count: u64) -> String {
        match count {
            0 => self.no_votes.clone(),
            1 => self.one_vote.clone(),
            many => self.many_votes.replace("{n}", &many.to_string()),
        }
    }

    /// A percentage with one decimal; a dash while it is hidden.
    pub fn percent(&self, percent: Option<f64>) -> String {
        percent.map_or_else(
            || "–".into(),
            |percent| {
                let number = format!("{percent:.1}").replace('.', &self.decimal);
                self.percent.replace("{n}", &number)
            },
        )
    }

    /// The delay of counting, from two minutes on in minutes.
    pub fn behind(&self, seconds: u64) -> String {
        if seconds < 120 {
            self.counting_seconds.replace("{n}", &seconds.to_string())
        } else {
            let minutes = seconds / 60;
            self.counting_minutes.replace("{n}", &minutes.to_string())
        }
    }

    pub fn served_by(&self, instance: &str) -> String {
        self.served_by.replace("{instance}", instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use web::language::Language;

    #[test]
    fn every_language_has_every_text() {
        load();
    }

    #[test]
    fn numbers_are_formatted_in_the_language() {
        let texts = load();
        let formatted = |language: Language| {
            (
                texts[language].votes(1),
                texts[language].percent(Some(66.7)),
            )
        };
        assert_eq!(
            formatted(Language::English),
            ("1 vote".into(), "66.7%".into())
        );
        assert_eq!(
            formatted(Language::German),
            ("1 Stimme".into(), "66,7\u{a0}%".into())
        );
        assert_eq!(texts[Language::Korean].votes(1234), "1234표");
        assert_eq!(texts[Language::English].percent(None), "–");
    }
}
