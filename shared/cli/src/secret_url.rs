//! URLs with passwords.
//!
//! An unescaped `?`, `#` or `/` in a password ends the authority of the URL. The rest of the password becomes a parameter or the name of
//! a database and would appear in logs, and the URL has another host.

use url::Url;

/// Advice on escapes for error messages.
pub const HINT: &str = "in a user or password write %3F for ?, %23 for #, %2F for / and %40 for @";

/// Checks for signs that a part of a password is outside the authority of the URL.
///
/// # Errors
/// There is such a sign, or a parameter is unknown. The message contains no part of the URL.
pub fn check(url: &Url, is_parameter: impl Fn(&str) -> bool) -> Result<(), String> {
    let has_at_sign = |text: &str| text.contains('@');
    let path = url.path().strip_prefix('/').unwrap_or_default();
    if has_at_sign(path) || path.contains('/') {
        return Err(format!("the database name contains a / or an @; {HINT}"));
    }
    if url.fragment().is_some() {
        return Err(format!("it contains a #; {HINT}"));
    }
    if url.query_pairs().any(|(key, _)| !is_parameter(&key)) {
        return Err(format!(
            "it has an unknown parameter (not shown: it may be a part of a password); {HINT}"
        ));
    }
    // The raw query, because values may contain an escaped @.
    if url.query().is_some_and(has_at_sign) {
        return Err(format!("its parameters contain an @; {HINT}"));
    }
    Ok(())
}
