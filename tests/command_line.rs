//! The command line of `voting-app`: start, settings, errors and help.

use std::{ffi::OsStr, net::TcpListener, os::unix::ffi::OsStrExt, path::Path};

use reqwest::StatusCode;
use rustix::process::Signal;

use crate::harness::{
    eventually,
    process::{Process, command, output},
    viewer::{get, wait_for_votes},
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
async fn the_application_needs_only_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new/data");
    let data = data.display().to_string();
    for (signal, votes) in [(Signal::INT, 1), (Signal::TERM, 2)] {
        let mut app = Process::start(command("voting-app", &environment(&data, &[])));
        let [vote, result, worker] =
            ["vote    ", "result  ", "worker  "].map(|line| app.url_in(line));
        assert!(
            app.wait_for_line("data    ")
                .ends_with(&format!("{data}/voting.db")),
            "the location of the data is printed"
        );
        Voter::new(&vote).must_vote_for("a").await;
        wait_for_votes(&result, &[votes, 0]).await;
        let ready = async || get(&format!("{worker}/ready")).await.status();
        eventually(
            "the worker's /ready",
            |status| *status == StatusCode::OK,
            ready,
        )
        .await;
        app.signal(signal);
        assert!(app.wait().success(), "{signal:?} stops it successfully");
    }
}

/// Runs the program, which must fail with one error message, and returns that message.
fn error_message(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let ended = output(&mut command("voting-app", &environment(&folder, variables)));
    assert!(!ended.status.success());
    let message = String::from_utf8(ended.stderr).unwrap();
    let errors: Vec<_> = message
        .lines()
        .filter(|line| !line.contains(" WARN ") && !line.contains(" INFO "))
        .collect();
    assert_eq!(errors.len(), 1, "one error message: {message}");
    errors[0]
        .strip_prefix("error: ")
        .unwrap_or_else(|| panic!("{message}"))
        .to_owned()
}

#[test]
fn a_port_in_use_is_reported_with_its_setting() {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let message = error_message(&[("RESULT_LISTEN_ADDR", &address)]);
    assert!(
        message.starts_with("RESULT_LISTEN_ADDR: cannot listen on ")
            && message.contains(&address)
            && message.contains("another program is using this port"),
        "{message}"
    );
}

#[test]
fn an_address_of_another_machine_is_reported_with_its_setting() {
    // A documentation address (RFC 5737), which no machine has.
    let message = error_message(&[("VOTE_LISTEN_ADDR", "192.0.2.1:8080")]);
    assert_eq!(
        message,
        "VOTE_LISTEN_ADDR: cannot listen on 192.0.2.1:8080: this machine has no such address; choose one of its addresses, \
         127.0.0.1 for this machine only, or 0.0.0.0 for all"
    );
}

#[test]
fn a_service_reports_the_variable_that_set_its_port() {
    let occupied = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = occupied.local_addr().unwrap().port().to_string();
    let address = format!("0.0.0.0:{port}");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    for program in ["vote", "result", "worker"] {
        for (variable, value) in [("PORT", &port), ("LISTEN_ADDR", &address)] {
            let environment = [(variable, value.as_str()), ("DATA_DIR", folder.as_str())];
            let ended = output(&mut command(program, &environment));
            let message = String::from_utf8(ended.stderr).unwrap();
            let expected = format!("error: {variable}: cannot listen on ");
            assert!(message.contains(&expected), "{program}: {message}");
        }
    }
}

#[test]
fn a_value_that_is_not_utf8_is_reported_with_its_setting() {
    let mut command = command("voting-app", &PORTS);
    command.env("POLL_QUESTION", OsStr::from_bytes(b"\xe9t\xe9?"));
    let ended = output(&mut command);
    assert_eq!(
        String::from_utf8(ended.stderr).unwrap(),
        "error: POLL_QUESTION must be text in UTF-8\n"
    );
}

#[test]
fn a_file_that_is_not_a_database_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let content = "not a database, and long enough to be read as one".repeat(10);
    std::fs::write(folder.path().join("voting.db"), content).unwrap();
    let folder = folder.path().display().to_string();
    let ended = output(&mut command("voting-app", &environment(&folder, &[])));
    let message = String::from_utf8(ended.stderr).unwrap();
    let error = message.lines().find(|line| line.starts_with("error: "));
    assert!(
        error.is_some_and(|error| error.ends_with(
            "/voting.db cannot be used: it is not an SQLite database; move that file, or choose another folder or file"
        )),
        "{message}"
    );
}

#[test]
fn an_unusable_data_folder_is_reported_with_its_setting() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = file.path().display().to_string();
    let message = error_message(&[("DATA_DIR", &folder)]);
    assert!(
        message.starts_with("DATA_DIR: ") && message.contains(&folder),
        "{message}"
    );
    // An existing folder in which even root cannot write.
    if Path::new("/proc/self").is_dir() {
        let message = error_message(&[("DATA_DIR", "/proc/self")]);
        assert!(message.contains("/proc/self/"), "{message}");
    }
}

#[test]
fn invalid_settings_are_rejected_with_the_variable_and_the_allowed_values() {
    let cases = [
        ("POLL_OPTIONS", "a=Cats", "2 to 20 options, not 1"),
        ("POLL_OPTIONS", "a=Cats,a=Dogs", "\"a\" occurs twice"),
        ("POLL_OPTIONS", "A=Cats,b=Dogs", "a-z, 0-9 and hyphen"),
        ("POLL_OPTIONS", "a=Cats,b=Cats", "\"Cats\" occurs twice"),
        ("POLL_OPTIONS", "Cats,Cats", "\"Cats\" occurs twice"),
        ("POLL_OPTIONS", "a=Cats,Dogs", "or to none, as in Cats,Dogs"),
        ("POLL_OPTIONS", r"a=x\,y", r#"is "a=x\,y": a poll has"#),
        ("OPTION_A", "Dogs", "\"Dogs\" occurs twice"),
        ("POLL_OPENS_AT", "tomorrow", "2027-03-01T08:00:00Z"),
        (
            "POLL_OPENS_AT",
            "2026-12-01T18:00",
            "the time zone is missing; write a date and a time with the offset from UTC",
        ),
        (
            "POLL_CLOSES_AT",
            "2026-12-01T18:00[Europe/Berln]",
            "no time zone \"Europe/Berln\"",
        ),
        ("POLL_RESULTS", "never", "live, after-close"),
        ("POLL_RESULTS", "after-close", "needs POLL_CLOSES_AT"),
        ("QUEUE_URL", "amqp://user:hidden@host", "redis://"),
        ("DATABASE_URL", "mysql://user:hidden@host", "postgres://"),
        ("QUEUE_STREAM", "votes", "the original app's list"),
        ("VOTE_LISTEN_ADDR", "8080", "such as 127.0.0.1:8080"),
        (
            "RESULT_LISTEN_ADDR",
            "localhost:8081",
            "write an IP address and a port",
        ),
        ("WORKER_LISTEN_ADDR", "127.0.0.1:80808", "from 0 to 65535"),
        ("ENQUEUE_TIMEOUT", "soon", "400ms"),
        ("WORKER_BATCH", "0", "a whole number from 1 to 10000"),
        ("WORKER_CONCURRENCY", "0", "a whole number from 1 to 16"),
        ("COOKIE_KEY", "short", "at least 64 bytes"),
        ("COOKIE_KEY_FILE", "/no/such/file", "/no/such/file"),
        (
            "CORS_ALLOWED_ORIGINS",
            "https://example.com/",
            "http://localhost:3000",
        ),
        (
            "MAX_CONNECTIONS",
            "0",
            "write a whole number from 1 to 1000000",
        ),
        ("STORE_MAX_CONNECTIONS", "2", "from 3 to 100"),
        (
            "MAX_VIEWERS",
            "many",
            "write a whole number from 1 to 1000000",
        ),
        (
            "VOTES_PER_MINUTE",
            "0",
            "write a whole number from 1 to 1000000",
        ),
        ("NEW_VOTERS_BURST", "9", "NEW_VOTERS_PER_MINUTE is not"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "10.0.0.0/16"),
        (
            "PUBLIC_ORIGINS",
            "poll.example.org",
            "https://poll.example.org",
        ),
        ("HSTS", "always", "write off, or"),
        ("KEEP_ALIVE_TIMEOUT", "0s", "from 1s to 2h"),
        ("RUST_LOG", "loud=very", "MODULE=LEVEL"),
        ("OPTION_A", "\u{7}", "option \"a\""),
    ];
    for (variable, value, allowed) in cases {
        let message = error_message(&[(variable, value)]);
        assert!(
            message.contains(variable) && message.contains(allowed),
            "{variable}={value:?}: {message}"
        );
        assert!(!message.contains("user:"), "a secret is printed: {message}");
        assert_eq!(
            message.matches(allowed).count(),
            1,
            "the rule is printed once: {message}"
        );
    }
    let message = error_message(&[
        ("POLL_OPENS_AT", "2027-01-02T00:00:00Z"),
        ("POLL_CLOSES_AT", "2027-01-01T18:00[Europe/Berlin]"),
    ]);
    assert_eq!(
        message,
        "POLL_CLOSES_AT (2027-01-01T18:00:00+01:00[Europe/Berlin]) must be later than POLL_OPENS_AT \
         (2027-01-02T00:00:00+00:00[UTC])"
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
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
fn help_lists_every_setting_and_version_shows_the_revision() {
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
        "PUBLIC_HTTPS",
        "CORS_ALLOWED_ORIGINS",
        "MAX_CONNECTIONS",
        "MAX_VIEWERS",
        "VOTES_PER_MINUTE",
        "VOTES_BURST",
        "NEW_VOTERS_PER_MINUTE",
        "NEW_VOTERS_BURST",
        "TRUSTED_PROXIES",
        "PUBLIC_ORIGINS",
        "HSTS",
        "KEEP_ALIVE_TIMEOUT",
        "WORKER_NAME",
        "WORKER_BATCH",
        "WORKER_CONCURRENCY",
        "WORKER_CLAIM_MIN_IDLE",
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
    assert_eq!(version.trim(), format!("voting-app {}", cli::build::LONG));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_healthcheck_reports_by_its_exit_code() {
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
        "the error names the URL"
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
    let line = app.wait_for_line("dependency is up");
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&entry["level"], &entry["message"]),
        (&"INFO".into(), &"dependency is up".into()),
        "{line}"
    );
}

/// Every user of the machine can read arguments in the list of processes.
#[test]
fn a_secret_in_an_argument_is_rejected_and_not_printed() {
    let key = "0123456789abcdef".repeat(8);
    for (program, flag, value) in [
        ("vote", "--cookie-key", &*key),
        ("vote", "--queue-url", "redis://vote:S3cr3t@nowhere.invalid"),
        (
            "worker",
            "--database-url",
            "postgres://u:S3cr3t@nowhere.invalid/v",
        ),
        ("voting-app", "--queue-url", "redis://a,redis://u:S3cr3t@b"),
    ] {
        let ended = output(command(program, &[]).args([flag, value]));
        let message = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{message}");
        let variable = flag[2..].replace('-', "_").to_uppercase();
        assert!(
            message.contains(flag) && message.contains(&variable),
            "{message}"
        );
        assert!(
            !message.contains("S3cr3t") && !message.contains(&key),
            "{message}"
        );
    }
    // A URL without a password is not a secret.
    let flags = ["--queue-url", "redis://nowhere.invalid:1", "healthcheck"];
    let ended = output(command("vote", &[("LISTEN_ADDR", "127.0.0.1:1")]).args(flags));
    let message = String::from_utf8(ended.stderr).unwrap();
    assert!(message.contains("127.0.0.1:1/health"), "{message}");
}
