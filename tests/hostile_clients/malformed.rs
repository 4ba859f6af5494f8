//! Malformed and oversized requests.

use std::fmt::Write;

use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::header::CONTENT_TYPE;

use super::{FORM, Program, app};
use crate::harness::{
    eventually,
    raw::{RESET, RawClient, status},
    scrape,
    viewer::wait_for_votes,
    voter::{Voter, client},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_request_heads_get_431() {
    let (app, _storage) = app(&[]).await;
    let mut many = String::new();
    for number in 0..200 {
        write!(many, "x-{number}: y\r\n").unwrap();
    }
    let long = format!("x: {}\r\n", "y".repeat(20 * 1024));
    let endless = format!("x: {}\r\n", "y".repeat(2 * 1024 * 1024));
    let path = "y".repeat(20 * 1024);
    for head in [
        format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{long}\r\n"),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{endless}\r\n"),
        format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n"),
    ] {
        for url in [&app.vote, &app.result, &app.worker] {
            let response = RawClient::exchange(url, head.as_bytes()).await;
            assert_eq!(status(&response), 431, "{} bytes: {response}", head.len());
        }
    }
    // A head below the limit is served.
    let fits = format!("x: {}\r\n", "y".repeat(15 * 1024));
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fits}\r\n");
    assert_eq!(
        status(&RawClient::exchange(&app.vote, head.as_bytes()).await),
        200
    );
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_body_is_rejected_while_it_is_sent() {
    let (app, _storage) = app(&[]).await;
    let body = "x".repeat(1024 * 1024);
    for (path, content_type) in [("/", FORM), ("/api/votes", "application/json")] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let response = RawClient::exchange(&app.vote, format!("{head}{body}").as_bytes()).await;
        assert_eq!(status(&response), 413, "{path}: {response}");
        assert!(!response.contains(RESET), "{path}: {response}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_http_is_rejected() {
    let (app, _storage) = app(&[]).await;
    let mut random = StdRng::seed_from_u64(7);
    let noise: Vec<Vec<u8>> = (0..200)
        .map(|_| {
            (0..random.random_range(1..2000))
                .map(|_| random.random())
                .collect()
        })
        .collect();
    let two_lengths =
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\ncontent-length: 7\r\n\r\nvote=ab";
    let not_chunked =
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nvote=a\r\n";
    let known: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        two_lengths,
        not_chunked,
    ];
    let known = known.into_iter().map(<[u8]>::to_vec);
    let responses = known.chain(noise).map(async |bytes| {
        let mut connection = RawClient::open(&app.vote).await;
        connection.send(&bytes).await;
        // The client closes its side, because these bytes can be the beginning of a valid request.
        connection.shutdown_write().await;
        (bytes, connection.read_until_closed().await)
    });
    for (bytes, response) in join_all(responses).await {
        let status = status(&response);
        assert!(
            status == 0 || (400..500).contains(&status),
            "{:?}: {response}",
            String::from_utf8_lossy(&bytes)
        );
    }
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    app.stop().await;
}

/// A proxy in front may see a different end of the request, which allows request smuggling.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_chunked_transfer_encoding_is_accepted() {
    let (app, _storage) = app(&[]).await;
    for coding in ["gzip, chunked", "identity, chunked", "chunked, chunked"] {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\nconnection: close\r\n\
             transfer-encoding: {coding}\r\n\r\n6\r\nvote=a\r\n0\r\n\r\n"
        );
        let response = RawClient::exchange(&app.vote, request.as_bytes()).await;
        assert!(
            [400, 501].contains(&status(&response)),
            "{coding}: {response}"
        );
        if coding.starts_with("gzip") {
            assert!(response.contains("501 Not Implemented"), "{response}");
        }
    }
    Voter::new(&app.vote).must_vote_for("b").await;
    wait_for_votes(&app.result, &[0, 1]).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_requests_are_counted() {
    let (app, _storage) = app(&[]).await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(20 * 1024)
    );
    for request in ["GET / HTTP/1.1\r\nno colon\r\n\r\n", &long] {
        RawClient::exchange(&app.vote, request.as_bytes()).await;
    }
    let counted = async || scrape::value(&app.vote, "http_server_unreadable_requests_total").await;
    eventually("two requests", |counted| *counted > 1.5, counted).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bodies_are_rejected_without_memory_growth() {
    let program = Program::start(&[]);
    let mut random = StdRng::seed_from_u64(42);
    let hostile = client();
    let resident = async || program.metric("process_resident_memory_bytes").await;
    let mut before = 0.0;
    for number in 0..10_000 {
        if number == 1000 {
            // Pools and caches have reached their final size.
            before = resident().await;
        }
        let length = random.random_range(0..6000);
        let body: Vec<u8> = (0..length).map(|_| random.random()).collect();
        let (path, content_type) = [("/", FORM), ("/api/votes", "application/json")][number % 2];
        let request = hostile
            .post(format!("{}{path}", program.vote))
            .header(CONTENT_TYPE, content_type)
            .body(body);
        let response = request.send().await.expect("a response");
        assert!(
            response.status().is_client_error(),
            "{number}: {}",
            response.status()
        );
        // A connection is reused only after its response was read to the end.
        response.bytes().await.expect("a complete response");
    }
    let grown = resident().await - before;
    assert!(grown < 8.0 * 1024.0 * 1024.0, "{grown} bytes more");
    Voter::new(&program.vote).must_vote_for("b").await;
    wait_for_votes(&program.result, &[0, 1]).await;
    program.stop();
}
