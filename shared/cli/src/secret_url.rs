//! URLs with passwords in them.
//!
//! A `?`, `#` or `/` in a password ends the part of the URL that it belongs to, and the rest becomes a parameter or the
//! name of a database: it would be shown in logs, and the server would be another one.

use url::Url;

/// The advice for whoever wrote the URL.
pub const HINT: &str = "in a user or password write %3F for ?, %23 for #, %2F for / and %40 for @";

/// Checks that no part of a password is elsewhere in the URL, as far as can be told.
///
/// # Errors
/// It may be, or a parameter is not known; the message repeats nothing of the URL.
pub fn check(url: &Url, is_parameter: impl Fn(&str) -> bool) -> Result<(), String> {
    let has_mark = |text: &str| text.contains('@');
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if has_mark(path) || path.contains('/') {
        return Err(format!(
            "the name of the database has a / or an @ in it; {HINT}"
        ));
    }
    if url.fragment().is_some() {
        return Err(format!("there is a # in it; {HINT}"));
    }
    if url.query_pairs().any(|(key, _)| !is_parameter(&key)) {
        return Err(format!(
            "it has a parameter that is not known (not shown, as it may be a part of a password); {HINT}"
        ));
    }
    // Values may have one that is escaped.
    if url.query().is_some_and(has_mark) {
        return Err(format!("there is an @ among its parameters; {HINT}"));
    }
    Ok(())
}
