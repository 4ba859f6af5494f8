//! The header `Cookie` as anybody may send it, and what a cookie of ours may hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vote::fuzzing;

fuzz_target!(|data: &[u8]| {
    assert!(
        !fuzzing::is_known(data),
        "nobody makes up a cookie that is signed"
    );
    fuzzing::read_signed(data);
});
