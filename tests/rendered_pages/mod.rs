//! The pages in their states: the whole page in English, and the lines that differ in the other languages.
//!
//! Each test has a clock of its own, and the votes have fixed times, so the pages are the same in every run.

mod problems;
mod result;
mod vote;

use insta::assert_snapshot;
use reqwest::{RequestBuilder, Response};

use crate::harness::snapshot::settings;

/// The languages of the pages. The first one is the default.
const LANGUAGES: [&str; 3] = ["en", "de", "ko"];

/// The times at which the polls of these tests open and close, and one before.
const BEFORE: &str = "2026-03-14T12:00:00Z";
const OPENS_AT: &str = "2026-03-14T13:00:00Z";
const CLOSES_AT: &str = "2026-03-14T14:00:00Z";

/// Compares the pages that respond to these requests, one for each of [`LANGUAGES`], with the snapshot of this name.
async fn assert_pages(name: &str, request: impl Fn() -> RequestBuilder) {
    let mut pages = Vec::new();
    for language in LANGUAGES {
        // A browser that navigates, so the page contains no token.
        let request = request()
            .header("accept", "text/html")
            .header("accept-language", language)
            .header("sec-fetch-site", "same-origin");
        pages.push(page(request.send().await.expect("the page responds")).await);
    }
    let differences = LANGUAGES
        .iter()
        .zip(&pages)
        .skip(1)
        .map(|(language, page)| {
            let lines = differing_lines(&pages[0], page);
            format!("\n\n==== lines that differ in {language}\n{lines}")
        });
    let text: String = std::iter::once(pages[0].clone())
        .chain(differences)
        .collect();
    settings().bind(|| assert_snapshot!(name, text));
}

/// Returns the status and the HTML of a page, without the host name of this machine.
async fn page(response: Response) -> String {
    let status = response.status();
    let html = response.text().await.expect("a page is text");
    let served_by = format!(" {}</span>", telemetry::instance_name());
    let html = html.replace(&served_by, " [host]</span>");
    format!("{status}\n{html}")
}

/// Returns the lines of a page that differ from the English page, which has the same number of lines.
fn differing_lines(english: &str, page: &str) -> String {
    assert_eq!(english.lines().count(), page.lines().count(), "{page}");
    let pairs = english.lines().zip(page.lines());
    let differing = pairs.filter(|(english, other)| english != other);
    let lines: Vec<_> = differing.map(|(_, other)| other).collect();
    lines.join("\n")
}
