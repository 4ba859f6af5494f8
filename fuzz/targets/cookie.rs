//! The header `Cookie` with any content, and the payload of a cookie with a valid signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vote::fuzzing;

fuzz_target!(|data: &[u8]| {
    assert!(!fuzzing::is_known(data), "no input has a valid signature");
    fuzzing::read_signed(data);
});
