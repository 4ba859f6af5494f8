//! What the result page says, in every language. The texts are in `result/locales`.

use serde::Deserialize;
use web::language::Translations;

/// The texts of one language. A field that a file lacks, or one that is not here, is an error.
///
/// The page's script says the same: the page hands it the texts with their placeholders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    title: String,
    pub no_votes: String,
    pub no_votes_at_all: String,
    pub one_vote: String,
    pub many_votes: String,
    pub percent: String,
    pub decimal: String,
    pub opens: String,
    pub closes: String,
    pub closed: String,
    pub winner: String,
    pub tie: String,
    pub nobody: String,
    pub hidden: String,
    pub unread: String,
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
    served_by: String,
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
    pub fn title(&self, question: &str) -> String {
        self.title.replace("{question}", question)
    }

    /// As the original app words it.
    pub fn votes(&self, count: u64) -> String {
        match count {
            0 => self.no_votes.clone(),
            1 => self.one_vote.clone(),
            many => self.many_votes.replace("{n}", &many.to_string()),
        }
    }

    /// A share with one decimal; a dash while it is hidden.
    pub fn percent(&self, percent: Option<f64>) -> String {
        percent.map_or_else(
            || "–".into(),
            |percent| {
                let number = format!("{percent:.1}").replace('.', &self.decimal);
                self.percent.replace("{n}", &number)
            },
        )
    }

    /// The delay of counting as a text, in minutes where that is easier to read.
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
        all();
    }

    #[test]
    fn numbers_are_written_as_the_language_does() {
        let texts = all();
        let said = |language: Language| {
            (
                texts[language].votes(1),
                texts[language].percent(Some(66.7)),
            )
        };
        assert_eq!(said(Language::English), ("1 vote".into(), "66.7%".into()));
        assert_eq!(
            said(Language::German),
            ("1 Stimme".into(), "66,7\u{a0}%".into())
        );
        assert_eq!(texts[Language::Korean].votes(1234), "1234표");
        assert_eq!(texts[Language::English].percent(None), "–");
    }
}
