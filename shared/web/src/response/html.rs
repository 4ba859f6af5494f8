//! Responses with pages.

use askama::Template;
use axum::{http::HeaderMap, response::Response};
use jiff::Timestamp;

use super::rendered_page::{RenderedPage, rendering_failed};
use crate::language::Language;

/// Returns a page in this language, compressed if the request headers accept that.
#[must_use]
pub fn html(page: &impl Template, language: Language, headers: &HeaderMap) -> Response {
    RenderedPage::new(page).map_or_else(
        |error| rendering_failed(&error),
        |page| page.respond(headers, language),
    )
}

/// Returns an uncompressed page. For pages with a secret: their compressed length would depend on it
/// (BREACH, <https://www.breachattack.com>).
#[must_use]
pub fn html_uncompressed(page: &impl Template, language: Language) -> Response {
    html(page, language, &HeaderMap::new())
}

/// A text that contains a time. A script shows the time in the time zone of the browser; without scripts it is in UTC.
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
    /// Creates the text; the time replaces `{time}` in it.
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
    fn the_time_replaces_its_placeholder() {
        let moment = "2027-03-01T09:30:00.123+01:00".parse().unwrap();
        let html = TimeText::new("It's <at> {time}.", moment).to_string();
        assert_eq!(
            html,
            "It&#39;s &#60;at&#62; <time datetime=\"2027-03-01T08:30:00.123Z\">2027-03-01 08:30:00 UTC</time>."
        );
    }
}
