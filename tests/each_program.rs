//! Tests of the help, the licences and the version of a program. Every package with a program runs this file as a test.

use std::process::Command;

const NAME: &str = env!("CARGO_PKG_NAME");

#[test]
fn help_lists_the_settings_and_version_shows_the_revision() {
    let stdout_of = |argument| {
        let output = Command::new(env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME"))))
            .arg(argument)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let help = stdout_of("--help");
    let listen_variables: &[_] = match NAME {
        "voting-app" => &[
            "VOTE_LISTEN_ADDR",
            "RESULT_LISTEN_ADDR",
            "WORKER_LISTEN_ADDR",
        ],
        _ => &["LISTEN_ADDR", "PORT"],
    };
    let common = ["DATA_DIR", "POLL_OPTIONS", "DRAIN_DELAY", "LOG_FORMAT"];
    for variable in listen_variables.iter().chain(&common) {
        assert!(
            help.contains(&format!("[env: {variable}=")),
            "{variable} is missing in {help}"
        );
    }
    let licenses = stdout_of("--licenses");
    for part in [
        "\n  axum 0.",
        "Permission is hereby granted, free of charge",
    ] {
        assert!(licenses.contains(part), "{part:?} is missing");
    }
    assert_eq!(
        stdout_of("--version").trim(),
        format!("{NAME} {}", cli::build::LONG)
    );
}
