//! Clients that send, read or do nothing for a long time.
//!
//! The services close their connections after fixed timeouts. Tests of a service in their own process advance its clock. The others
//! wait in real time: for another process, or for the kernel, which closes a connection whose data is not read for 30 seconds.

use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    task::yield_now,
    time::{self, Instant},
};

use super::{FORM, Program, app, open_idle, other_connections};
use crate::harness::{
    eventually,
    raw::{RawClient, status},
    viewer::wait_for_votes,
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_idle_connections_do_not_block_voters() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let count = usize::try_from((files / 2).min(5000)).unwrap();
    // Long timeouts, because the disk may be busy.
    let program = Program::start(&[
        ("ENQUEUE_TIMEOUT", "20s"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "10000"),
    ]);
    let hostile = open_idle(&program.vote, count).await;
    assert!(
        other_connections(&program.vote).await > count / 2,
        "the idle connections are open"
    );
    // Each voter opens a new connection, while the idle connections are open.
    let mut accepted_votes = 0;
    while other_connections(&program.vote).await > count / 2 {
        Voter::new(&program.vote).must_vote_for("a").await;
        accepted_votes += 1;
    }
    assert!(accepted_votes > 0);
    let remaining = async || other_connections(&program.vote).await;
    eventually("closed connections", |count| *count < 100, remaining).await;
    wait_for_votes(&program.result, &[accepted_votes, 0]).await;
    drop(hostile);
    program.stop();
}

/// Advances the clock of this runtime, which must have one thread, in steps in which clients and servers continue.
async fn advance_clock(duration: Duration) {
    const STEP: Duration = Duration::from_millis(200);
    let end = Instant::now() + duration;
    while Instant::now() < end {
        time::pause();
        time::advance(STEP).await;
        time::resume();
        // The runtime handles its connections before it continues here.
        yield_now().await;
    }
}

#[tokio::test]
async fn a_slow_request_head_times_out() {
    let (app, _storage) = app(&[]).await;
    let mut hostile = RawClient::open(&app.vote).await;
    hostile.send(b"GET / HTTP/1.1\r\n").await;
    let (response, ()) = tokio::join!(
        hostile.send_repeatedly(b"x: y\r\n"),
        advance_clock(Duration::from_secs(12))
    );
    assert_eq!(response, "", "no response is sent");
    Voter::new(&app.vote).must_vote_for("a").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_after_the_keep_alive_timeout() {
    let (app, _storage) = app(&["--keep-alive-timeout", "1s"]).await;
    for url in [&app.vote, &app.result, &app.worker] {
        let mut idle = RawClient::open(url).await;
        idle.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // The default timeout is longer.
        assert_eq!(status(&idle.read_until_closed().await), 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_slow_request_body_gets_408() {
    let (app, _storage) = app(&[]).await;
    let slow = async |path: &str, content_type: &str| {
        let mut hostile = RawClient::open(&app.vote).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: 4000\r\n\r\n"
        );
        hostile.send(head.as_bytes()).await;
        hostile.send_repeatedly(b"x").await
    };
    let (page, problem, ()) = tokio::join!(
        slow("/", FORM),
        slow("/api/votes", "application/json"),
        advance_clock(Duration::from_secs(6))
    );
    for response in [&page, &problem] {
        assert_eq!(status(response), 408, "{response}");
        assert!(response.contains("connection: close\r\n"), "{response}");
        assert_eq!(
            response.matches("HTTP/1.1 ").count(),
            1,
            "the rest of the body is not read as a request"
        );
    }
    assert!(page.contains("NOT counted"), "{page}");
    assert!(problem.contains("/problems/request-too-slow"), "{problem}");
    app.stop().await;
}

/// Checks the socket buffers of the kernel, for data that clients do not read and data that the server does not read. The
/// kernel charges both to the service. Source: <https://docs.kernel.org/networking/proc_net_tcp.html>.
#[cfg(target_os = "linux")]
fn assert_little_is_queued(url: &str) {
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    let own = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queued = table.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (sent, received) = fields[4].split_once(':')?;
        let bytes = |queue| u64::from_str_radix(queue, 16).ok();
        (fields[1].ends_with(&own)).then(|| Some(bytes(sent)? + bytes(received)?))?
    });
    let unread: Vec<u64> = queued.filter(|bytes| *bytes > 4096).collect();
    assert!(
        unread.len() >= 50,
        "every connection has unread data: {unread:?}"
    );
    let average = unread.iter().sum::<u64>() / unread.len() as u64;
    assert!(average < 80 * 1024, "{average} of {unread:?}");
}

/// Takes half a minute, because the kernel closes these connections (`TCP_USER_TIMEOUT`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_disconnected() {
    let program = Program::start(&[]);
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let before = program.metric("process_resident_memory_bytes").await;
    let hostile = join_all((0..50).map(async |_| {
        let mut connection = RawClient::open_narrow(&program.vote).await;
        // Responses of some MB, of which the client reads nothing.
        connection.send_until_stalled(&request.repeat(20_000)).await;
        connection
    }))
    .await;
    let grown = program.metric("process_resident_memory_bytes").await - before;
    assert!(grown < 32.0 * 1024.0 * 1024.0, "{grown} bytes more");
    assert!(
        other_connections(&program.vote).await >= 50,
        "the idle connections are open"
    );
    #[cfg(target_os = "linux")]
    assert_little_is_queued(&program.vote);
    Voter::new(&program.vote).must_vote_for("a").await;
    let remaining = async || other_connections(&program.vote).await;
    eventually("closed connections", |count| *count < 10, remaining).await;
    drop(hostile);
    program.stop();
}
