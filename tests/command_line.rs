//! What somebody sees who types `cargo run`.

use std::{net::TcpListener, path::Path};

use reqwest::StatusCode;
use rustix::process::Signal;

use crate::harness::{
    eventually,
    process::{Process, command, output},
    viewer::{get, until_votes},
    voter::Voter,
};

const PORTS: [(&str, &str); 3] = [
    ("VOTE_LISTEN_ADDR", "127.0.0.1:0"),
    ("RESULT_LISTEN_ADDR", "127.0.0.1:0"),
    ("WORKER_LISTEN_ADDR", "127.0.0.1:0"),
];

fn environment<'a>(folder: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    PORTS
        .into_iter()
        .chain([("DATA_DIR", folder)])
        .chain(more.iter().copied())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_starts_with_nothing_but_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let data = data.display().to_string();
    for (signal, votes) in [(Signal::INT, 1), (Signal::TERM, 2)] {
        let mut app = Process::start(command("voting-app", &environment(&data, &[])));
        let [vote, result, worker] =
            ["vote    ", "result  ", "worker  "].map(|line| app.url_in(line));
        assert!(
            app.line_with("data    ")
                .ends_with(&format!("{data}/voting.db")),
            "it says where the data is"
        );
        Voter::new(&vote).must_vote_for("a").await;
        until_votes(&result, &[votes, 0]).await;
        let ready = async || get(&format!("{worker}/ready")).await.status();
        eventually(
            "the worker's /ready",
            |status| *status == StatusCode::OK,
            ready,
        )
        .await;
        app.signal(signal);
        assert!(app.wait().success(), "{signal:?} ends it well");
    }
}

/// Runs the program, which must fail with one sentence, and returns that sentence.
fn sentence(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let ended = output(&mut command("voting-app", &environment(&folder, variables)));
    assert!(!ended.status.success());
    let said = String::from_utf8(ended.stderr).unwrap();
    let errors: Vec<_> = said
        .lines()
        .filter(|line| !line.contains(" WARN ") && !line.contains(" INFO "))
        .collect();
    assert_eq!(errors.len(), 1, "one sentence: {said}");
    errors[0]
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned()
}

#[test]
fn a_port_in_use_is_said_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = sentence(&[("RESULT_LISTEN_ADDR", &address)]);
    assert!(
        said.contains(&address) && said.contains("another program is using this port"),
        "{said}"
    );
}

#[test]
fn a_folder_that_cannot_be_used_is_said_by_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = file.path().display().to_string();
    let said = sentence(&[("DATA_DIR", &folder)]);
    assert!(
        said.starts_with("DATA_DIR: ") && said.contains(&folder),
        "{said}"
    );
    // A folder that is there, in which nothing can be written: also for root.
    if Path::new("/proc/self").is_dir() {
        let said = sentence(&[("DATA_DIR", "/proc/self")]);
        assert!(said.contains("/proc/self/"), "{said}");
    }
}

#[test]
fn bad_settings_are_refused_with_the_variable_and_what_is_allowed() {
    let cases = [
        ("POLL_OPTIONS", "a=Cats", "2 to 20 options, not 1"),
        ("POLL_OPTIONS", "a=Cats,a=Dogs", "\"a\" is there twice"),
        ("POLL_OPTIONS", "A=Cats,b=Dogs", "a-z, 0-9 and hyphen"),
        ("POLL_OPENS_AT", "tomorrow", "2027-03-01T09:00:00Z"),
        ("POLL_RESULTS", "never", "live, after-close"),
        ("POLL_RESULTS", "after-close", "needs POLL_CLOSES_AT"),
        ("QUEUE_URL", "amqp://user:hidden@host", "redis://"),
        ("DATABASE_URL", "mysql://user:hidden@host", "postgres://"),
        ("QUEUE_STREAM", "votes", "the original app's list"),
        ("VOTE_LISTEN_ADDR", "8080", "socket address"),
        ("ENQUEUE_TIMEOUT", "soon", "400ms"),
        ("WORKER_BATCH", "0", "1..=10000"),
        ("WORKER_CONCURRENCY", "0", "1..=16"),
        ("COOKIE_KEY", "short", "at least 64 bytes"),
        ("COOKIE_KEY_FILE", "/no/such/file", "/no/such/file"),
        (
            "CORS_ALLOWED_ORIGINS",
            "https://example.com/",
            "http://localhost:3000",
        ),
        ("MAX_CONNECTIONS", "0", "1..=1000000"),
        ("MAX_VIEWERS", "many", "invalid digit"),
        ("VOTES_PER_MINUTE", "0", "1..=1000000"),
        ("NEW_VOTERS_BURST", "9", "NEW_VOTERS_PER_MINUTE is not"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "10.0.0.0/16"),
        ("RUST_LOG", "loud=very", "MODULE=LEVEL"),
        ("OPTION_A", "\u{7}", "option \"a\""),
    ];
    for (variable, value, allowed) in cases {
        let said = sentence(&[(variable, value)]);
        assert!(
            said.contains(variable) && said.contains(allowed),
            "{variable}={value:?}: {said}"
        );
        assert!(!said.contains("user:"), "a secret is shown: {said}");
        assert_eq!(said.matches(allowed).count(), 1, "it is said once: {said}");
    }
    let said = sentence(&[
        ("POLL_OPENS_AT", "2027-01-02T00:00:00Z"),
        ("POLL_CLOSES_AT", "2027-01-01T00:00:00Z"),
    ]);
    assert!(
        said.contains("POLL_CLOSES_AT") && said.contains("must be later"),
        "{said}"
    );
}

#[test]
fn an_empty_variable_is_not_set() {
    let ended = output(
        command(
            "voting-app",
            &environment("/nowhere", &[("QUEUE_URL", ""), ("POLL_OPENS_AT", "")]),
        )
        .arg("--version"),
    );
    assert!(ended.status.success());
}

#[test]
fn help_lists_every_setting_and_version_the_revision() {
    let help = String::from_utf8(output(command("voting-app", &[]).arg("--help")).stdout).unwrap();
    for variable in [
        "VOTE_LISTEN_ADDR",
        "RESULT_LISTEN_ADDR",
        "WORKER_LISTEN_ADDR",
        "DATA_DIR",
        "QUEUE_URL",
        "QUEUE_URL_FILE",
        "QUEUE_STREAM",
        "ENQUEUE_TIMEOUT",
        "DATABASE_URL",
        "DATABASE_URL_FILE",
        "STORE_TIMEOUT",
        "STORE_MAX_CONNECTIONS",
        "POLL_QUESTION",
        "POLL_OPTIONS",
        "OPTION_A",
        "OPTION_B",
        "POLL_OPENS_AT",
        "POLL_CLOSES_AT",
        "POLL_RESULTS",
        "COOKIE_KEY",
        "COOKIE_KEY_FILE",
        "COOKIE_KEY_PREVIOUS",
        "BEHIND_HTTPS",
        "CORS_ALLOWED_ORIGINS",
        "MAX_CONNECTIONS",
        "MAX_VIEWERS",
        "VOTES_PER_MINUTE",
        "VOTES_BURST",
        "NEW_VOTERS_PER_MINUTE",
        "NEW_VOTERS_BURST",
        "TRUSTED_PROXIES",
        "WORKER_NAME",
        "WORKER_BATCH",
        "WORKER_CONCURRENCY",
        "WORKER_CLAIM_IDLE",
        "DRAIN_DELAY",
        "SHUTDOWN_TIMEOUT",
        "LOG_FORMAT",
        "RUST_LOG",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
    ] {
        assert!(
            help.contains(&format!("[env: {variable}")),
            "{variable} is missing in {help}"
        );
    }
    let version =
        String::from_utf8(output(command("voting-app", &[]).arg("--version")).stdout).unwrap();
    assert_eq!(
        version.trim(),
        format!("voting-app {}", shared::build::LONG)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_healthcheck_tells_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let app = Process::start(command("voting-app", &environment(&folder, &[])));
    let addresses = ["vote    ", "result  ", "worker  "]
        .map(|line| app.url_in(line).replace("http://localhost", "127.0.0.1"));
    let names = PORTS.map(|(name, _)| name);
    let variables: Vec<_> = names
        .iter()
        .zip(&addresses)
        .map(|(name, address)| (*name, address.as_str()))
        .collect();
    let check = |arguments: &[&str]| output(command("voting-app", &variables).args(arguments));
    eventually(
        "readiness",
        |ended: &std::process::Output| ended.status.success(),
        async || check(&["healthcheck", "--ready"]),
    )
    .await;
    assert!(check(&["healthcheck"]).status.success());
    drop(app);
    let ended = check(&["healthcheck"]);
    assert!(!ended.status.success());
    assert!(
        String::from_utf8(ended.stderr).unwrap().contains("/health"),
        "it says what it asked"
    );
}

#[test]
fn logs_can_be_json() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let app = Process::start(command(
        "voting-app",
        &environment(&folder, &[("LOG_FORMAT", "json")]),
    ));
    let line = app.line_with("dependency is up");
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&entry["level"], &entry["message"]),
        (&"INFO".into(), &"dependency is up".into()),
        "{line}"
    );
}
