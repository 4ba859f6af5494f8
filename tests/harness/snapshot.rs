//! Snapshots of documents and pages, beside the tests in `snapshots`. docs/testing.md says how to update them.

use insta::Settings;

/// Parts that differ between builds and runs, as regular expressions, with their replacements.
const FILTERS: [(&str, &str); 3] = [
    (r"\.[0-9a-f]{16}\.", ".[fingerprint]."),
    (r"http://(localhost|127\.0\.0\.1):\d+", "http://[address]"),
    (r"(?s)<style>.*?</style>", "<style>[style]</style>"),
];

/// Returns the settings of a snapshot test, which replace the parts that differ between runs.
pub fn settings() -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, replacement) in FILTERS {
        settings.add_filter(pattern, replacement);
    }
    settings
}
