//! Clients that are too many, too slow or out of their minds do not keep anybody else from voting.

use std::fmt::Write;

use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    faults::until_ready,
    harness::{
        app::App,
        eventually,
        process::{Process, command},
        raw::{RESET, Raw, status},
        storage::{Kind, Storage},
        viewer::{Viewer, get, get_json, until_votes},
        voter::{Voter, client},
    },
};

const FORM: &str = "application/x-www-form-urlencoded";

/// The application inside the test, on storage of its own.
async fn app(flags: &[&str]) -> (App, Storage) {
    let storage = Storage::new(Kind::Embedded)
        .await
        .expect("files can be made");
    (App::start(&storage, flags).await, storage)
}

/// The application as a process, whose memory and files are its own.
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

    /// A figure from the voting page's metrics.
    async fn figure(&self, name: &str) -> f64 {
        figure(&self.vote, name).await
    }

    /// Ends it, which must still go well.
    fn stop(mut self) {
        assert!(self.process.terminate().success());
    }
}

async fn figure(url: &str, name: &str) -> f64 {
    let metrics = get(&format!("{url}/metrics")).await.text().await.unwrap();
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("no {name} in {metrics}"));
    value.parse().unwrap()
}

/// How many connections a service has open besides the one that asks.
async fn others(url: &str) -> usize {
    let open = figure(url, "http_server_open_connections").await;
    // Counts are small and whole.
    format!("{:.0}", open - 1.0).parse().unwrap()
}

/// Connections that ask nothing.
async fn idle(url: &str, many: usize) -> Vec<Raw> {
    let mut connections = Vec::with_capacity(many);
    while connections.len() < many {
        // Wave by wave: more at once than the kernel queues for the server would have to knock again.
        let wave = (many - connections.len()).min(500);
        connections.extend(join_all((0..wave).map(|_| Raw::open(url))).await);
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
            let answer = Raw::ask(url, head.as_bytes()).await;
            assert_eq!(status(&answer), 431, "{} bytes: {answer}", head.len());
        }
    }
    // What fits is served.
    let fits = format!("x: {}\r\n", "y".repeat(15 * 1024));
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{fits}\r\n");
    assert_eq!(status(&Raw::ask(&app.vote, head.as_bytes()).await), 200);
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
        let answer = Raw::ask(&app.vote, format!("{head}{body}").as_bytes()).await;
        assert_eq!(status(&answer), 413, "{path}: {answer}");
        assert!(!answer.contains(RESET), "{path}: {answer}");
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
    let answers = known.chain(noise).map(async |bytes| {
        let mut connection = Raw::open(&app.vote).await;
        connection.send(&bytes).await;
        // A client that says no more: what it said may have been the beginning of something.
        connection.finish().await;
        (bytes, connection.until_closed().await)
    });
    for (bytes, answer) in join_all(answers).await {
        let status = status(&answer);
        assert!(
            status == 0 || (400..500).contains(&status),
            "{:?}: {answer}",
            String::from_utf8_lossy(&bytes)
        );
    }
    Voter::new(&app.vote).must_vote_for("a").await;
    until_votes(&app.result, &[1, 0]).await;
    app.stop().await;
}

/// A proxy in front may see another end of the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_chunked_transfer_encoding_is_accepted() {
    let (app, _storage) = app(&[]).await;
    for coding in ["gzip, chunked", "identity, chunked", "chunked, chunked"] {
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\nconnection: close\r\n\
             transfer-encoding: {coding}\r\n\r\n6\r\nvote=a\r\n0\r\n\r\n"
        );
        let answer = Raw::ask(&app.vote, request.as_bytes()).await;
        assert!([400, 501].contains(&status(&answer)), "{coding}: {answer}");
        if coding.starts_with("gzip") {
            assert!(answer.contains("501 Not Implemented"), "{answer}");
        }
    }
    Voter::new(&app.vote).must_vote_for("b").await;
    until_votes(&app.result, &[0, 1]).await;
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
        Raw::ask(&app.vote, request.as_bytes()).await;
    }
    let counted = async || figure(&app.vote, "http_server_unreadable_requests_total").await;
    eventually("two requests", |counted| *counted > 1.5, counted).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bodies_are_rejected_without_memory_growth() {
    let program = Program::start(&[]);
    let mut random = StdRng::seed_from_u64(42);
    let hostile = client();
    let resident = async || program.figure("process_resident_memory_bytes").await;
    let mut before = 0.0;
    for number in 0..10_000 {
        if number == 1000 {
            // Pools and caches have their size by now.
            before = resident().await;
        }
        let length = random.random_range(0..6000);
        let body: Vec<u8> = (0..length).map(|_| random.random()).collect();
        let (path, content_type) = [("/", FORM), ("/api/votes", "application/json")][number % 2];
        let request = hostile
            .post(format!("{}{path}", program.vote))
            .header(CONTENT_TYPE, content_type)
            .body(body);
        let answer = request.send().await.expect("it answers");
        assert!(
            answer.status().is_client_error(),
            "{number}: {}",
            answer.status()
        );
        // Read to its end, a connection is used again.
        answer.bytes().await.expect("it answers in full");
    }
    let grown = resident().await - before;
    assert!(grown < 8.0 * 1024.0 * 1024.0, "{grown} bytes more");
    Voter::new(&program.vote).must_vote_for("b").await;
    until_votes(&program.result, &[0, 1]).await;
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
    let many = usize::try_from((files / 2).min(5000)).unwrap();
    // The disk may be busy.
    let program = Program::start(&[
        ("ENQUEUE_TIMEOUT", "20s"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "10000"),
    ]);
    let hostile = idle(&program.vote, many).await;
    assert!(others(&program.vote).await > many / 2, "they are in");
    // Each with a connection of its own, for as long as the others are there.
    let mut good = 0;
    while others(&program.vote).await > many / 2 {
        Voter::new(&program.vote).must_vote_for("a").await;
        good += 1;
    }
    assert!(good > 0);
    let left = async || others(&program.vote).await;
    eventually("an empty house", |others| *others < 100, left).await;
    until_votes(&program.result, &[good, 0]).await;
    drop(hostile);
    program.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_request_head_times_out() {
    let (app, _storage) = app(&[]).await;
    let mut hostile = Raw::open(&app.vote).await;
    hostile.send(b"GET / HTTP/1.1\r\n").await;
    assert_eq!(
        hostile.drip(b"x: y\r\n").await,
        "",
        "there is nothing to answer"
    );
    Voter::new(&app.vote).must_vote_for("a").await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_is_closed_after_the_keep_alive_timeout() {
    let (app, _storage) = app(&["--keep-alive-timeout", "1s"]).await;
    for url in [&app.vote, &app.result, &app.worker] {
        let mut idle = Raw::open(url).await;
        idle.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // Sooner than it would be by default.
        assert_eq!(status(&idle.until_closed().await), 200);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_request_body_gets_408() {
    let (app, _storage) = app(&[]).await;
    let slow = async |path: &str, content_type: &str| {
        let mut hostile = Raw::open(&app.vote).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\ncontent-length: 4000\r\n\r\n"
        );
        hostile.send(head.as_bytes()).await;
        hostile.drip(b"x").await
    };
    let (page, problem) = tokio::join!(slow("/", FORM), slow("/api/votes", "application/json"));
    for answer in [&page, &problem] {
        assert_eq!(status(answer), 408, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "what came late is no request"
        );
    }
    assert!(page.contains("NOT counted"), "{page}");
    assert!(problem.contains("/problems/request-too-slow"), "{problem}");
    app.stop().await;
}

/// The kernel's memory for what a client does not take, and for what the server does not read, belongs to the service.
/// Source: <https://docs.kernel.org/networking/proc_net_tcp.html>.
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
    let stuck: Vec<u64> = queued.filter(|bytes| *bytes > 4096).collect();
    assert!(stuck.len() >= 50, "they leave something unread: {stuck:?}");
    let average = stuck.iter().sum::<u64>() / stuck.len() as u64;
    assert!(average < 80 * 1024, "{average} of {stuck:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_disconnected() {
    let program = Program::start(&[]);
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let before = program.figure("process_resident_memory_bytes").await;
    let hostile = join_all((0..50).map(async |_| {
        let mut connection = Raw::open_narrow(&program.vote).await;
        // Answers for some MB, of which none is taken.
        connection.send_unread(&request.repeat(20_000)).await;
        connection
    }))
    .await;
    let grown = program.figure("process_resident_memory_bytes").await - before;
    assert!(grown < 32.0 * 1024.0 * 1024.0, "{grown} bytes more");
    assert!(others(&program.vote).await >= 50, "they are in");
    #[cfg(target_os = "linux")]
    assert_little_is_queued(&program.vote);
    Voter::new(&program.vote).must_vote_for("a").await;
    let left = async || others(&program.vote).await;
    eventually("an empty house", |others| *others < 10, left).await;
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
    let hostile = idle(&app.vote, 8).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let full = async || Raw::ask(&app.vote, request).await;
    let answer = eventually("a full house", |answer| status(answer) == 503, full).await;
    for line in [
        "connection: close\r\n",
        "retry-after: 5\r\n",
        "/problems/too-many-connections",
    ] {
        assert!(answer.contains(line), "{line} is missing in {answer}");
    }
    let refused = Voter::new(&app.vote).vote_for("a").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.retry_after.as_deref(), Some("5"));
    for path in ["/health", "/ready"] {
        let probe = async || get(&format!("{}{path}", app.vote)).await.status();
        let what = format!("{path}: a full house is not on fire");
        eventually(&what, |status| *status == StatusCode::OK, probe).await;
    }
    assert!(figure(&app.vote, "http_server_connections_rejected_total").await >= 2.0);
    // Another service has places of its own.
    assert_eq!(
        get_json(&format!("{}/health", app.result)).await.0,
        StatusCode::OK
    );
    drop(hostile);
    let accepted = async || Voter::new(&app.vote).vote_for("a").await.status;
    eventually("a free place", |status| *status == StatusCode::OK, accepted).await;
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_beyond_the_limit_get_503_until_others_leave() {
    let (app, _storage) = app(&["--max-viewers", "2", "--max-viewers-per-address", "2"]).await;
    let first = Viewer::open(&app.result, None).await;
    let mut second = Viewer::open(&app.result, None).await;
    let url = format!("{}/events", app.result);
    let refused = get(&url).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("/problems/too-many-viewers")
    );
    assert!((figure(&app.result, "result_sse_connections_rejected_total").await - 1.0).abs() < 0.1);
    Voter::new(&app.vote).must_vote_for("a").await;
    second.until_votes(&[1, 0]).await;
    drop(first);
    let again = async || get(&url).await.status();
    eventually("a free place", |status| *status == StatusCode::OK, again).await;
    app.stop().await;
}

/// A client with another address of this machine.
#[cfg(target_os = "linux")]
fn neighbour() -> reqwest::Client {
    let address = std::net::IpAddr::from([127, 0, 0, 2]);
    let client = reqwest::Client::builder().no_proxy().local_address(address);
    client.build().expect("a client can be built")
}

const PER_ADDRESS: &str = "http_server_connections_rejected_per_address_total";

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_use_all_connections() {
    let (app, _storage) = app(&["--max-connections", "40"]).await;
    let hostile = idle(&app.vote, 200).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = Raw::ask(&app.vote, request).await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(
        answer.contains("20 connections open already") && answer.contains("retry-after: 5\r\n"),
        "{answer}"
    );
    let vote = neighbour().post(&app.vote).header(CONTENT_TYPE, FORM);
    let accepted = vote.body("vote=a").send().await.unwrap();
    assert_eq!(
        accepted.status(),
        StatusCode::OK,
        "while the others are there"
    );
    let metrics = neighbour()
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
    let refused = get(&url).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let refused = refused.text().await.unwrap();
    assert!(
        refused.contains("3 viewers of the live result already") && refused.contains("/api/tally"),
        "{refused}"
    );
    let other = neighbour().get(&url).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    let series = format!("{PER_ADDRESS}{{what=\"stream\"}}");
    assert!((figure(&app.result, &series).await - 1.0).abs() < 0.1);
    app.stop().await;
}

/// All of them come over the proxy's connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_per_address_applies_to_clients_behind_a_proxy() {
    let flags = [
        "--trusted-proxies",
        "127.0.0.0/8",
        "--max-connections-per-address",
        "3",
    ];
    let (app, _storage) = app(&flags).await;
    until_ready(&app.result).await;
    let ask = async |client_address: &str, url: String| {
        let request = client().get(url).header("x-forwarded-for", client_address);
        request.send().await.unwrap()
    };
    let events = || format!("{}/events", app.result);
    let mut unfinished = Vec::new();
    for _ in 0..3 {
        unfinished.push(ask("198.51.100.1", events()).await);
    }
    let refused = ask("198.51.100.1", app.result.clone()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("3 connections open already")
    );
    let probe = ask("198.51.100.1", format!("{}/ready", app.result)).await;
    assert_eq!(probe.status(), StatusCode::OK, "probes are nobody's");
    assert_eq!(ask("198.51.100.2", events()).await.status(), StatusCode::OK);
    drop(unfinished);
    let again = async || ask("198.51.100.1", app.result.clone()).await.status();
    eventually("a free place", |status| *status == StatusCode::OK, again).await;
    app.stop().await;
}
