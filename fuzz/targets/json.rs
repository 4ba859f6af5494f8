//! The body of `POST /api/votes`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vote::fuzzing;

fuzz_target!(|body: &[u8]| {
    if let Some(choice) = fuzzing::json(body) {
        assert!(choice.len() <= body.len());
    }
});
