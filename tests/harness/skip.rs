//! Tests whose requirements are not installed: skipped with a message, and a failure in CI.

use std::{collections::HashSet, io::Write, sync::Mutex};

static REPORTED: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Reports that a test is skipped and why. With `CI=true` the test fails instead.
pub fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "a requirement is missing in CI: {why}"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut reported = REPORTED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if reported.get_or_insert_default().insert(test.clone()) {
        // Written directly: the output of print macros is not shown for a test that passes.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    }
}

/// The value, or a reported skip of the test.
macro_rules! or_skip {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(why) => return $crate::harness::skip::skip(&why),
        }
    };
}
pub(crate) use or_skip;
