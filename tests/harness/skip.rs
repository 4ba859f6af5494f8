//! Tests that need what this machine does not have: skipped aloud for people, a failure in CI.

use std::{collections::HashSet, io::Write, sync::Mutex};

static SAID: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Says that a test is skipped and why. With `CI=true` it fails instead.
pub fn skip(why: &str) {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "in CI nothing may be missing: {why}"
    );
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut said = SAID
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if said.get_or_insert_default().insert(test.clone()) {
        // Written directly: what print macros write in a test that passes is never shown.
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    }
}

/// The value, or the end of the test, said aloud.
macro_rules! or_skip {
    ($found:expr) => {
        match $found {
            Ok(found) => found,
            Err(why) => return $crate::harness::skip::skip(&why),
        }
    };
}
pub(crate) use or_skip;
