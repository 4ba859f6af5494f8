//! Help and version of one program: each package with a program of its own runs this file as a test.

use std::process::Command;

const NAME: &str = env!("CARGO_PKG_NAME");

#[test]
fn help_lists_the_settings_and_version_the_revision() {
    let said = |argument| {
        let output = Command::new(env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME"))))
            .arg(argument)
            .env_clear()
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let help = said("--help");
    let listens: &[_] = match NAME {
        "voting-app" => &[
            "VOTE_LISTEN_ADDR",
            "RESULT_LISTEN_ADDR",
            "WORKER_LISTEN_ADDR",
        ],
        _ => &["LISTEN_ADDR", "PORT"],
    };
    let common = ["DATA_DIR", "POLL_OPTIONS", "DRAIN_DELAY", "LOG_FORMAT"];
    for variable in listens.iter().chain(&common) {
        assert!(
            help.contains(&format!("[env: {variable}=")),
            "{variable} is missing in {help}"
        );
    }
    let licenses = said("--licenses");
    for part in [
        "\n  axum 0.",
        "Permission is hereby granted, free of charge",
    ] {
        assert!(licenses.contains(part), "{part:?} is missing");
    }
    assert_eq!(
        said("--version").trim(),
        format!("{NAME} {}", cli::build::LONG)
    );
}
