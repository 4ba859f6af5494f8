//! The languages of the pages. Their texts are TOML files, one per language and service.

use std::{collections::BTreeSet, ops::Index};

use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use toml::Table;

/// A language of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// The default.
    #[default]
    English,
    /// Deutsch.
    German,
    /// 한국어.
    Korean,
}

impl Language {
    /// All languages, in the order of the files of [`Translations`].
    pub const ALL: [Self; 3] = [Self::English, Self::German, Self::Korean];

    /// Returns the language tag. Source: <https://www.rfc-editor.org/rfc/rfc5646>.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Korean => "ko",
        }
    }

    /// Returns the language that the browser prefers among those available.
    ///
    /// It is parsed here because the crates for this header sort by weights that may be NaN, or ignore the weights.
    /// Source: <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4>.
    #[must_use]
    pub fn negotiate(headers: &HeaderMap) -> Self {
        let ranges = headers
            .get_all(header::ACCEPT_LANGUAGE)
            .into_iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(parse_range);
        // Of equal weights the first one wins.
        ranges
            .fold(None, |best: Option<(Self, f32)>, range| match best {
                Some((_, weight)) if weight >= range.1 => best,
                _ => Some(range),
            })
            .map_or_else(Self::default, |(language, _)| language)
    }
}

/// Parses `de-AT;q=0.8` as German with weight 0.8; `None` for an unavailable language or the weight 0.
fn parse_range(range: &[u8]) -> Option<(Language, f32)> {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let primary = parts.next()?.split(|byte| *byte == b'-').next()?;
    let language = Language::ALL
        .into_iter()
        .find(|language| language.tag().as_bytes().eq_ignore_ascii_case(primary))?;
    let weight = match parts.next() {
        Some(parameter) => parse_weight(parameter)?,
        None => 1.0,
    };
    (weight > 0.0).then_some((language, weight))
}

/// Parses `q=0.8` as 0.8.
fn parse_weight(parameter: &[u8]) -> Option<f32> {
    let digits = parameter.strip_prefix(b"q=")?;
    str::from_utf8(digits).ok()?.parse().ok()
}

/// The same texts in every language.
#[derive(Clone, Debug)]
pub struct Translations<T>([T; Language::ALL.len()]);

impl<T: DeserializeOwned> Translations<T> {
    /// Parses the texts from TOML files, one for each of [`Language::ALL`].
    ///
    /// # Errors
    /// A text is missing or unknown, or its placeholders differ from those in the first language.
    pub fn parse(files: [&str; Language::ALL.len()]) -> Result<Self, InvalidTranslation> {
        let expected = placeholders(files[0])?;
        let mut texts = Vec::with_capacity(files.len());
        for (file, language) in files.into_iter().zip(Language::ALL) {
            let invalid = |reason| InvalidTranslation {
                language: language.tag(),
                reason,
            };
            texts.push(toml::from_str(file).map_err(|error| invalid(error.to_string()))?);
            let found = placeholders(file)?;
            if let Some(different) = expected.symmetric_difference(&found).next() {
                return Err(invalid(format!("{different} differs from English")));
            }
        }
        let texts = texts.try_into();
        Ok(Self(texts.unwrap_or_else(|_| {
            unreachable!("there is one text per file")
        })))
    }
}

impl<T> Index<Language> for Translations<T> {
    type Output = T;

    fn index(&self, language: Language) -> &T {
        &self.0[language as usize]
    }
}

/// Returns all `{placeholder}` of a file, with the keys of their texts.
fn placeholders(file: &str) -> Result<BTreeSet<String>, InvalidTranslation> {
    let table: Table = file.parse().map_err(|error| InvalidTranslation {
        language: "an unknown language",
        reason: format!("{error}"),
    })?;
    let mut found = BTreeSet::new();
    for (key, value) in &table {
        let text = value.as_str().unwrap_or_default();
        for rest in text.split('{').skip(1) {
            let name = rest.split('}').next().unwrap_or_default();
            found.insert(format!("{key}: {{{name}}}"));
        }
    }
    Ok(found)
}

/// A file of texts is invalid.
#[derive(Debug, thiserror::Error)]
#[error("texts in {language}: {reason}")]
pub struct InvalidTranslation {
    language: &'static str,
    reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    fn negotiated(value: &str) -> &'static str {
        let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, value.parse().unwrap())]);
        Language::negotiate(&headers).tag()
    }

    #[test]
    fn the_preferred_available_language_is_chosen() {
        for (value, language) in [
            ("", "en"),
            ("*", "en"),
            ("ko", "ko"),
            ("de-AT,de;q=0.9,en;q=0.8", "de"),
            ("fr-CH, fr;q=0.9, KO-kr;q=0.7, de;q=0.8", "de"),
            ("en;q=0.1,ko;q=0.2", "ko"),
            ("de;q=0,ko;q=0.001", "ko"),
            ("de;q=NaN,ko;q=x,de;q", "en"),
            ("fr,ja", "en"),
        ] {
            assert_eq!(negotiated(value), language, "{value}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Texts {
        #[expect(dead_code, reason = "only its presence matters")]
        greeting: String,
    }

    fn error_for(german: &str) -> String {
        let files = ["greeting = 'Hello {name}'", german, "greeting = '{name}!'"];
        Translations::<Texts>::parse(files).unwrap_err().to_string()
    }

    #[test]
    fn missing_unknown_and_different_texts_are_rejected() {
        assert!(
            error_for("").contains("de: ") && error_for("").contains("missing field `greeting`")
        );
        assert!(error_for("greeting = '{name}'\nother = ''").contains("unknown field `other`"));
        assert!(error_for("greeting = 'Hallo'").contains("greeting: {name}"));
        assert!(error_for("greeting = '{name} {nam}'").contains("greeting: {nam}"));
    }
}
