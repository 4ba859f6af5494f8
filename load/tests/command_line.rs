//! What somebody sees who runs the load generator.

use std::process::{Command, Output};

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_load"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn help_says_what_it_does_and_lists_every_flag() {
    let ended = load(&["--help"]);
    assert!(ended.status.success());
    let help = String::from_utf8(ended.stdout).unwrap();
    for text in [
        "no accepted vote is",
        "VIOLATION lost",
        "[env: VOTE_URL=",
        "[env: RESULT_URL=",
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
fn what_cannot_be_used_is_refused_with_one_sentence() {
    for (arguments, says) in [
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
        let ended = load(&arguments);
        assert!(!ended.status.success());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(
            said.starts_with("error: ") && said.contains(says) && said.trim().lines().count() == 1,
            "{arguments:?}: {said}"
        );
        assert!(!said.contains("hidden"), "a secret is shown: {said}");
    }
}
