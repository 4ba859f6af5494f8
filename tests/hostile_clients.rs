//! Too many, too slow and malformed clients do not prevent other clients from voting.

use std::fmt::Write;

use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    faults::wait_until_ready,
    harness::{
        app::App,
        eventually,
        process::{Process, command},
        raw::{RESET, RawClient, status},
        storage::{Backend, Storage},
        viewer::{Viewer, get, get_json, wait_for_votes},
        voter::{Voter, client},
    },
};

const FORM: &str = "application/x-www-form-urlencoded";

/// The application in the process of the test, with its own storage.
async fn app(flags: &[&str]) -> (App, Storage) {
    let storage = Storage::new(Backend::Embedded)
        .await
        .expect("files can be created");
    (App::start(&storage, flags).await, storage)
}

/// The application as a separate process, whose memory and open files can be measured.
struct Program {
    process: Process,
    vote: String,
    result: String,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().display().to_string();
        let mut command = command("voting-app", &[("DATA_DIR", &data)]);
        for service in ["VOTE", "RESULT", "WORKER"] {
            command.env(format!("{service}_LISTEN_ADDR"), "127.0.0.1:0");
        }
        command.envs(more.iter().copied());
        let process = Process::start(command);
        let [vote, result] = ["vote    ", "result  "].map(|line| process.url_in(line));
        let [vote, result] = [vote, result].map(|url| url.replace("localhost", "127.0.0.1"));
        Self {
            process,
            vote,
            result,
            _folder: folder,
        }
    }

    /// The value of a metric of the voting page.
    async fn metric(&self, name: &str) -> f64 {
        metric(&self.vote, name).await
    }

    /// Stops the process, which must exit successfully.
    fn stop(mut self) {
        assert!(self.process.terminate().success());
    }
}

/// The value of a metric of a service.
async fn metric(url: &str, name: &str) -> f64 {
    let metrics = get(&format!("{url}/metrics")).await.text().await.unwrap();
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value.parse().unwrap()
}

/// The number of open connections of a service without the one of this request.
async fn other_connections(url: &str) -> usize {
    let open = metric(url, "http_server_open_connections").await;
    // The count is a small integer.
    format!("{:.0}", open - 1.0).parse().unwrap()
}

/// Opens connections that send no request.
async fn open_idle(url: &str, count: usize) -> Vec<RawClient> {
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        // In batches: connections beyond the accept queue of the kernel would have to be retried.
        let batch = (count - connections.len()).min(500);
        connections.extend(join_all((0..batch).map(|_| RawClient::open(url))).await);
    }
    connections
}

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
    let counted = async || metric(&app.vote, "http_server_unreadable_requests_total").await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_request_head_times_out() {
    let (app, _storage) = app(&[]).await;
    let mut hostile = RawClient::open(&app.vote).await;
    hostile.send(b"GET / HTTP/1.1\r\n").await;
    assert_eq!(
        hostile.send_repeatedly(b"x: y\r\n").await,
        "",
        "no response is sent"
    );
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
    let (page, problem) = tokio::join!(slow("/", FORM), slow("/api/votes", "application/json"));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_get_503_until_others_close() {
    let (app, _storage) = app(&[
        "--max-connections",
        "8",
        "--max-connections-per-address",
        "100",
    ])
    .await;
    let hostile = open_idle(&app.vote, 8).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let full = async || RawClient::exchange(&app.vote, request).await;
    let response = eventually("a full service", |response| status(response) == 503, full).await;
    for line in [
        "connection: close\r\n",
        "retry-after: 5\r\n",
        "/problems/too-many-connections",
    ] {
        assert!(response.contains(line), "{line} is missing in {response}");
    }
    let rejected = Voter::new(&app.vote).vote_for("a").await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.retry_after.as_deref(), Some("5"));
    for path in ["/health", "/ready"] {
        let probe = async || get(&format!("{}{path}", app.vote)).await.status();
        let what = format!("{path}: a full service is healthy and ready");
        eventually(&what, |status| *status == StatusCode::OK, probe).await;
    }
    assert!(metric(&app.vote, "http_server_connections_rejected_total").await >= 2.0);
    // Another service has its own connection limit.
    assert_eq!(
        get_json(&format!("{}/health", app.result)).await.0,
        StatusCode::OK
    );
    drop(hostile);
    let accepted = async || Voter::new(&app.vote).vote_for("a").await.status;
    eventually(
        "a free connection",
        |status| *status == StatusCode::OK,
        accepted,
    )
    .await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_beyond_the_limit_get_503_until_others_leave() {
    let (app, _storage) = app(&["--max-viewers", "2", "--max-viewers-per-address", "2"]).await;
    let first = Viewer::open(&app.result, None).await;
    let mut second = Viewer::open(&app.result, None).await;
    let url = format!("{}/events", app.result);
    let rejected = get(&url).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejected.headers()["retry-after"], "5");
    assert_eq!(
        rejected.headers()["content-type"],
        "application/problem+json"
    );
    assert!(
        rejected
            .text()
            .await
            .unwrap()
            .contains("/problems/too-many-viewers")
    );
    assert!((metric(&app.result, "result_sse_connections_rejected_total").await - 1.0).abs() < 0.1);
    Voter::new(&app.vote).must_vote_for("a").await;
    second.wait_for_votes(&[1, 0]).await;
    drop(first);
    let again = async || get(&url).await.status();
    eventually(
        "a free connection",
        |status| *status == StatusCode::OK,
        again,
    )
    .await;
    app.stop().await;
}

/// A client with another IP address of this machine.
#[cfg(target_os = "linux")]
fn client_with_other_address() -> reqwest::Client {
    let address = std::net::IpAddr::from([127, 0, 0, 2]);
    let client = reqwest::Client::builder().no_proxy().local_address(address);
    client.build().expect("a client can be built")
}

const PER_ADDRESS: &str = "http_server_connections_rejected_per_address_total";

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_use_all_connections() {
    let (app, _storage) = app(&["--max-connections", "40"]).await;
    let hostile = open_idle(&app.vote, 200).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let response = RawClient::exchange(&app.vote, request).await;
    assert_eq!(status(&response), 503, "{response}");
    assert!(
        response.contains("20 open connections, which is the limit")
            && response.contains("retry-after: 5\r\n"),
        "{response}"
    );
    let vote = client_with_other_address()
        .post(&app.vote)
        .header(CONTENT_TYPE, FORM);
    let accepted = vote.body("vote=a").send().await.unwrap();
    assert_eq!(
        accepted.status(),
        StatusCode::OK,
        "while the idle connections are open"
    );
    let metrics = client_with_other_address()
        .get(format!("{}/metrics", app.vote))
        .send()
        .await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let counted = metrics.lines().find_map(|line| {
        let name = format!("{PER_ADDRESS}{{what=\"connection\"}} ");
        line.strip_prefix(&name)?.parse::<u64>().ok()
    });
    assert!(counted.is_some_and(|counted| counted > 100), "{counted:?}");
    drop(hostile);
    app.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_use_all_event_streams() {
    let (app, _storage) = app(&["--max-viewers", "6"]).await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        viewers.push(Viewer::open(&app.result, None).await);
    }
    let url = format!("{}/events", app.result);
    let rejected = get(&url).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    let rejected = rejected.text().await.unwrap();
    assert!(
        rejected.contains("3 viewers of the live result") && rejected.contains("/api/tally"),
        "{rejected}"
    );
    let other = client_with_other_address().get(&url).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    let series = format!("{PER_ADDRESS}{{what=\"stream\"}}");
    assert!((metric(&app.result, &series).await - 1.0).abs() < 0.1);
    app.stop().await;
}

/// All of these clients use the connections of the proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_per_address_applies_to_clients_behind_a_proxy() {
    let flags = [
        "--trusted-proxies",
        "127.0.0.0/8",
        "--max-connections-per-address",
        "3",
    ];
    let (app, _storage) = app(&flags).await;
    wait_until_ready(&app.result).await;
    let ask = async |client_address: &str, url: String| {
        let request = client().get(url).header("x-forwarded-for", client_address);
        request.send().await.unwrap()
    };
    let events = || format!("{}/events", app.result);
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        unfinished.push(ask("198.51.100.1", events()).await);
    }
    let rejected = ask("198.51.100.1", app.result.clone()).await;
    assert_eq!(rejected.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        rejected
            .text()
            .await
            .unwrap()
            .contains("3 open connections, which is the limit")
    );
    let probe = ask("198.51.100.1", format!("{}/ready", app.result)).await;
    assert_eq!(
        probe.status(),
        StatusCode::OK,
        "probes do not count against the limit"
    );
    assert_eq!(ask("198.51.100.2", events()).await.status(), StatusCode::OK);
    drop(unfinished);
    let again = async || ask("198.51.100.1", app.result.clone()).await.status();
    eventually(
        "a free connection",
        |status| *status == StatusCode::OK,
        again,
    )
    .await;
    app.stop().await;
}
