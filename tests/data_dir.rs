//! Unusual and unusable folders and files for embedded storage.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path, process::Command};

use sqlx::{Connection, SqliteConnection};

use crate::{
    faults::wait_until_ready,
    harness::process::{Process, output, program},
    harness::{viewer::wait_for_votes, voter::Voter},
};

fn app(data_dir: &Path) -> Command {
    let mut command = Command::new(program("voting-app"));
    command.env_clear().env("DATA_DIR", data_dir);
    for variable in [
        "VOTE_LISTEN_ADDR",
        "RESULT_LISTEN_ADDR",
        "WORKER_LISTEN_ADDR",
    ] {
        command.env(variable, "127.0.0.1:0");
    }
    command
}

/// The error message of a start that must fail: the last line of standard error.
fn error_message(data_dir: &Path) -> String {
    let ended = output(&mut app(data_dir));
    assert!(!ended.status.success());
    let message = String::from_utf8(ended.stderr).unwrap();
    let last = message.trim().lines().last().expect("an error message");
    assert!(last.starts_with("error: "), "{message}");
    last.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_name_may_contain_url_characters() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("is it? #1 100%25");
    let process = Process::start(app(&data));
    let [vote, result] = ["vote    ", "result  "].map(|name| process.url_in(name));
    wait_until_ready(&vote).await;
    Voter::new(&vote).must_vote_for("a").await;
    wait_for_votes(&result, &[1, 0]).await;
    assert!(data.join("voting.db").is_file());
}

#[test]
fn a_folder_name_that_is_not_utf8_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let message = error_message(&folder.path().join(OsStr::from_bytes(b"no\xfftext")));
    assert!(
        message.contains("its path is not UTF-8") && message.contains("DATA_DIR"),
        "{message}"
    );
}

#[tokio::test]
async fn a_database_of_another_program_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voting.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x')")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let before = fs::read(&file).unwrap();
    let message = error_message(folder.path());
    let words = "it is the database of another program (it has a table \"bookmarks\")";
    assert!(message.contains(words), "{message}");
    assert_eq!(fs::read(&file).unwrap(), before);
}
