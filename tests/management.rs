//! The things that only operators may see, at a listener of their own and on the machine.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    faults::{start_ready, until_unready_because},
    harness::{
        app::App,
        process::{Service, command, output},
        proxy::{Network, Proxy},
        scrape::Scrape,
        skip::or_skip,
        storage::{Kind, Storage},
        viewer::{get, get_json},
        voter::Voter,
    },
};

const MANAGED: (&str, &str) = ("MANAGEMENT_LISTEN_ADDR", "127.0.0.1:0");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_port_shows_a_status_and_the_management_port_shows_details() {
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let straight = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    for name in ["vote", "worker", "result"] {
        let service = start_ready(name, &storage, &[MANAGED]).await;
        let management = service.process.url_in("management listens");
        let metrics = Scrape::of(&management).await;
        assert!(
            metrics.find("http_server_open_connections").is_some(),
            "{name}"
        );
        let answer = get(&format!("{}/metrics", service.url)).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{name}");
        for url in [&service.url, &management] {
            let (status, said) = get_json(&format!("{url}/ready")).await;
            assert_eq!((status, said), (StatusCode::OK, json!({"status": "ready"})));
            let (status, _) = get_json(&format!("{url}/health")).await;
            assert_eq!(status, StatusCode::OK);
        }
        let answer = get(&management).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "no page is there");
        if name != "worker" {
            let (_, api) = get_json(&format!("{}/api/openapi.json", service.url)).await;
            assert!(api["paths"]["/ready"].is_object() && api["paths"]["/metrics"].is_null());
        }
        if name == "vote" {
            proxy.make(Network::NoAnswers);
            let managed = Service {
                process: service.process,
                url: management,
            };
            until_unready_because(&managed, &["QUEUE_URL"]).await;
            let (status, said) = get_json(&format!("{}/ready", service.url)).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(said, json!({"status": "not ready"}));
            storage.queue_url.clone_from(&straight);
        }
    }
}

/// Two options, and a result that nobody may know yet.
const HIDDEN: [&str; 4] = [
    "--poll-results",
    "after-close",
    "--poll-closes-at",
    "2100-01-01T00:00:00Z",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_metrics_have_no_choice_labels_while_results_are_hidden() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let app = App::start(&storage, &HIDDEN).await;
    for choice in ["a", "b", "b"] {
        Voter::new(&app.vote).must_vote_for(choice).await;
    }
    Voter::new(&app.vote).vote_for("nonsense").await;
    let metrics = Scrape::of(&app.vote).await;
    let votes = |labels: &str| metrics.find(&format!("vote_submissions_total{{{labels}}}"));
    assert_eq!(votes("choice=\"hidden\",outcome=\"accepted\""), Some(3.0));
    assert_eq!(votes("choice=\"none\",outcome=\"rejected\""), Some(1.0));
    for url in [&app.vote, &app.result, &app.worker] {
        let metrics = Scrape::of(url).await;
        let tells =
            |(series, _): &(&str, f64)| series.contains("\"a\"") || series.contains("\"b\"");
        assert_eq!(metrics.series().find(tells), None, "{url}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn management_metrics_have_choice_labels() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let settings = [
        MANAGED,
        ("POLL_RESULTS", "after-close"),
        ("POLL_CLOSES_AT", "2100-01-01T00:00:00Z"),
    ];
    let vote = start_ready("vote", &storage, &settings).await;
    Voter::new(&vote.url).must_vote_for("b").await;
    let metrics = Scrape::of(&vote.process.url_in("management listens")).await;
    let votes = "vote_submissions_total{choice=\"b\",outcome=\"accepted\"}";
    assert_eq!(metrics.find(votes), Some(1.0));
}

/// The rights of everybody on the machine to this file.
#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_files_are_readable_only_by_their_owner() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let folder = storage.folder.path().join("of its own");
    let data = folder.display().to_string();
    let database = format!("sqlite://{data}/voting.db");
    let settings = [
        ("DATA_DIR", &*data),
        ("QUEUE_URL", &*database),
        ("DATABASE_URL", &*database),
    ];
    let vote = start_ready("vote", &storage, &settings).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    assert_eq!(mode(&folder), 0o700);
    let files = folder.read_dir().unwrap().map(|file| file.unwrap().path());
    let files: Vec<_> = files.map(|file| (mode(&file), file)).collect();
    assert!(
        files.len() >= 5,
        "a database, its log, its index, its lock and a key: {files:?}"
    );
    assert!(files.iter().all(|(mode, _)| *mode == 0o600), "{files:?}");
}

/// A container has no other tool, and its public port gives no reason.
#[test]
fn the_healthcheck_prints_the_reason_from_the_management_port() {
    let listener = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address.to_string())
    };
    let ((public, address), (management, managed)) = (listener(), listener());
    for (listener, said) in [(public, "not ready"), (management, "the reason")] {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // What is left unread would reset the connection.
            let read = std::io::Read::read(&mut stream, &mut [0; 1024]);
            assert!(read.is_ok_and(|bytes| bytes > 0));
            let answer = format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{said}");
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        });
    }
    let settings = [
        ("LISTEN_ADDR", &*address),
        ("MANAGEMENT_LISTEN_ADDR", &managed),
    ];
    let said = output(command("vote", &settings).args(["healthcheck", "--ready"]));
    assert!(!said.status.success());
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.contains("the reason") && said.contains(&managed),
        "{said}"
    );
}
