//! Pages.

use askama::Template;
use axum::{http::HeaderMap, response::Response};
use jiff::Timestamp;

use super::rendered_page::{RenderedPage, rendering_failed};
use crate::language::Language;

/// A page in this language, as the browser with these headers takes it.
#[must_use]
pub fn html(page: &impl Template, language: Language, headers: &HeaderMap) -> Response {
    RenderedPage::new(page).map_or_else(
        |error| rendering_failed(&error),
        |rendered| rendered.answer(headers, language),
    )
}

/// The same, uncompressed: a page with a secret, whose length after compression would depend on what else is in it
/// (BREACH, <https://www.breachattack.com>).
#[must_use]
pub fn html_uncompressed(page: &impl Template, language: Language) -> Response {
    html(page, language, &HeaderMap::new())
}

/// A text with a moment in it. Scripts show the moment as the reader's clock has it; without one it is in UTC.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"{{ before }}<time datetime="{{ moment }}">{{ moment.strftime("%Y-%m-%d %H:%M:%S UTC") }}</time>{{ after }}"#
)]
pub struct TimeText<'a> {
    before: &'a str,
    moment: Timestamp,
    after: &'a str,
}

impl<'a> TimeText<'a> {
    /// The moment takes the place of `{time}` in the text.
    #[must_use]
    pub fn new(text: &'a str, moment: Timestamp) -> Self {
        let (before, after) = text.split_once("{time}").unwrap_or((text, ""));
        Self {
            before,
            moment,
            after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_stands_where_the_text_says() {
        let moment = "2027-03-01T09:30:00.123+01:00".parse().unwrap();
        let html = TimeText::new("It's <at> {time}.", moment).to_string();
        assert_eq!(
            html,
            "It&#39;s &#60;at&#62; <time datetime=\"2027-03-01T08:30:00.123Z\">2027-03-01 08:30:00 UTC</time>."
        );
    }
}
