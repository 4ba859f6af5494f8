//! The body of `POST /`: the first byte chooses the content type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vote::fuzzing;

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let vote = if kind % 2 == 0 {
        fuzzing::urlencoded(body)
    } else {
        fuzzing::multipart(body)
    };
    // Decoding never makes a text longer.
    assert!(vote.is_none_or(|vote| vote.len() <= body.len()));
});
