//! `X-Forwarded-For`, in lines as a client and its proxies may send them.
#![no_main]

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use web::TrustedProxies;

fuzz_target!(|data: &[u8]| {
    let name = HeaderName::from_static("x-forwarded-for");
    let lines = data
        .split(|byte| *byte == b'\n')
        .filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = lines.map(|line| (name.clone(), line)).collect();
    let proxies: TrustedProxies = "10.0.0.0/8,2001:db8::/32"
        .parse()
        .expect("the networks are valid");
    let client = IpAddr::from([203, 0, 113, 7]);
    assert_eq!(proxies.client_address(client, &headers), client);
    let mut appended = headers;
    appended.append(name, HeaderValue::from_static("203.0.113.7"));
    let proxy = IpAddr::from([10, 0, 0, 1]);
    assert_eq!(
        proxies.client_address(proxy, &appended),
        client,
        "the address from the last proxy is used"
    );
});
