//! Details for operators only: the management port, and the permissions of data files.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    faults::{start_ready, wait_until_unready},
    harness::{
        app::App,
        process::{Service, command, output},
        proxy::{Proxy, Toxic},
        scrape::Scrape,
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::{get, get_json},
        voter::Voter,
    },
};

const MANAGEMENT: (&str, &str) = ("MANAGEMENT_LISTEN_ADDR", "127.0.0.1:0");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_port_shows_a_status_and_the_management_port_shows_details() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let direct_url = storage.queue_url.clone();
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    for name in ["vote", "worker", "result"] {
        let service = start_ready(name, &storage, &[MANAGEMENT]).await;
        let management = service.process.url_in("management listening");
        let metrics = Scrape::of(&management).await;
        assert!(
            metrics.find("http_server_open_connections").is_some(),
            "{name}"
        );
        let response = get(&format!("{}/metrics", service.url)).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{name}");
        for url in [&service.url, &management] {
            let (status, body) = get_json(&format!("{url}/ready")).await;
            assert_eq!((status, body), (StatusCode::OK, json!({"status": "ready"})));
            let (status, _) = get_json(&format!("{url}/health")).await;
            assert_eq!(status, StatusCode::OK);
        }
        let response = get(&management).await;
        assert_eq!(
            response.status(),
            StatusCode::NOT_FOUND,
            "the management port has no page"
        );
        if name != "worker" {
            let (_, api) = get_json(&format!("{}/api/openapi.json", service.url)).await;
            assert!(api["paths"]["/ready"].is_object() && api["paths"]["/metrics"].is_null());
        }
        if name == "vote" {
            proxy.set_toxic(Toxic::TimeoutDownstream);
            let managed = Service {
                process: service.process,
                url: management,
            };
            wait_until_unready(&managed, &["QUEUE_URL"]).await;
            let (status, body) = get_json(&format!("{}/ready", service.url)).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(body, json!({"status": "not ready"}));
            storage.queue_url.clone_from(&direct_url);
        }
    }
}

/// A poll whose result is hidden until it closes.
const HIDDEN: [&str; 4] = [
    "--poll-results",
    "after-close",
    "--poll-closes-at",
    "2100-01-01T00:00:00Z",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_metrics_have_no_choice_labels_while_results_are_hidden() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
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
        let is_choice =
            |(series, _): &(&str, f64)| series.contains("\"a\"") || series.contains("\"b\"");
        assert_eq!(metrics.series().find(is_choice), None, "{url}");
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn management_metrics_have_choice_labels() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let settings = [
        MANAGEMENT,
        ("POLL_RESULTS", "after-close"),
        ("POLL_CLOSES_AT", "2100-01-01T00:00:00Z"),
    ];
    let vote = start_ready("vote", &storage, &settings).await;
    Voter::new(&vote.url).must_vote_for("b").await;
    let metrics = Scrape::of(&vote.process.url_in("management listening")).await;
    let votes = "vote_submissions_total{choice=\"b\",outcome=\"accepted\"}";
    assert_eq!(metrics.find(votes), Some(1.0));
}

/// The permission bits of this file.
#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_files_are_readable_only_by_their_owner() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let folder = storage.folder.path().join("a new folder");
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

/// A container has no other tool, and the public port does not show the reason.
#[test]
fn the_healthcheck_prints_the_reason_from_the_management_port() {
    let listener = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address.to_string())
    };
    let ((public, address), (management, management_address)) = (listener(), listener());
    for (listener, reason) in [(public, "not ready"), (management, "the reason")] {
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // An unread request would reset the connection.
            let read = std::io::Read::read(&mut stream, &mut [0; 1024]);
            assert!(read.is_ok_and(|bytes| bytes > 0));
            let response = format!("HTTP/1.1 503 Service Unavailable\r\n\r\n{reason}");
            std::io::Write::write_all(&mut stream, response.as_bytes()).unwrap();
        });
    }
    let settings = [
        ("LISTEN_ADDR", &*address),
        ("MANAGEMENT_LISTEN_ADDR", &management_address),
    ];
    let ended = output(command("vote", &settings).args(["healthcheck", "--ready"]));
    assert!(!ended.status.success());
    let message = String::from_utf8_lossy(&ended.stderr);
    assert!(
        message.contains("the reason") && message.contains(&management_address),
        "{message}"
    );
}
