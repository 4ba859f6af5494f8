//! `POLL_OPTIONS`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use poll::Options;

fuzz_target!(|raw: &str| {
    let Ok(options) = raw.parse::<Options>() else {
        return;
    };
    let keys: Vec<_> = options.iter().map(|option| option.key.as_str()).collect();
    assert!((2..=20).contains(&keys.len()));
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    for (index, key) in keys.iter().enumerate() {
        assert!(
            (1..=32).contains(&key.len()) && key.chars().all(is_allowed),
            "{key}"
        );
        assert!(!keys[..index].contains(key), "{key} occurs twice");
    }
});
