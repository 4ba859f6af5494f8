//! Command line of the load generator.

use std::process::{Command, Output};

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn help_describes_the_program_and_lists_every_flag() {
    let output = load(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for text in [
        "no accepted vote is",
        "VIOLATION lost",
        "[env: LOAD_VOTE_URL=",
        "[env: LOAD_RESULT_URL=",
        "[env: DATABASE_URL]",
        "[env: DATABASE_URL_FILE=",
        "--voters",
        "--connections",
        "--rate",
        "--duration",
        "--votes",
        "--seed",
        "--request-timeout",
        "--settle",
        "--json",
    ] {
        assert!(help.contains(text), "{text} is missing in {help}");
    }
}

#[test]
fn invalid_values_are_rejected_with_one_line() {
    for (arguments, expected) in [
        (["--vote-url", "localhost"], "write http://HOST"),
        (["--rate", "0"], "votes per second, more than 0"),
        (["--voters", "0"], "from 1 to"),
        (["--duration", "soon"], "400ms"),
        (["--database-url", "mysql://u:hidden@h"], "set DATABASE_URL"),
        (["--database-url", "mysql://h"], "postgres://"),
        (["--database-url", "sqlite:///no/such.db"], "/no/such.db"),
        (
            ["--result-url", "http://127.0.0.1:1"],
            "http://127.0.0.1:1/api/tally: no connection",
        ),
    ] {
        let output = load(&arguments);
        assert!(!output.status.success());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with("error: ")
                && stderr.contains(expected)
                && stderr.trim().lines().count() == 1,
            "{arguments:?}: {stderr}"
        );
        assert!(!stderr.contains("hidden"), "a secret is printed: {stderr}");
    }
}
