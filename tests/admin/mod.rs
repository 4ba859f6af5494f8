//! Administration commands, run while the services are up.

mod dead_letters;
mod export;
mod replay;
mod reset;
mod reset_concurrency;

use std::process::{Child, Command, Stdio};

use poll::ballot::{Ballot, BallotId, CastBallot, VoterId};
use store::Store;

use crate::harness::{
    eventually,
    process::{Service, command, output},
    storage::{POLL_ID, Storage, poll},
};

/// The command `worker admin …` for this storage.
pub fn admin(storage: &Storage, arguments: &[&str], more: &[(&str, &str)]) -> Command {
    let folder = storage.folder.path().display().to_string();
    let variables = [
        ("DATA_DIR", &*folder),
        ("QUEUE_URL", &storage.queue_url),
        ("QUEUE_STREAM", &storage.stream),
        ("DATABASE_URL", &storage.database_url),
        ("STORE_TIMEOUT", "20s"),
    ];
    let mut command = command("worker", &[&variables, more].concat());
    command.arg("admin").args(arguments);
    command
}

/// Starts a command whose output is piped.
fn start(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The standard output of a command, which must succeed and print no error.
pub fn stdout_of(command: &mut Command) -> String {
    let ended = output(command);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(text(&ended.stderr), "");
    text(&ended.stdout)
}

/// The standard error of a command, which must fail.
fn stderr_of(command: &mut Command) -> String {
    let ended = output(command);
    assert!(!ended.status.success(), "{ended:?}");
    text(&ended.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The same poll with one more option, c.
const MORE_OPTIONS: [(&str, &str); 2] = [
    ("POLL_ID", POLL_ID),
    ("POLL_OPTIONS", "a=Cats,b=Dogs,c=Birds"),
];

/// A ballot with this time in its id.
fn cast(voter: VoterId, choice: &str, ms: u64) -> CastBallot {
    let ballot = Ballot {
        poll: poll().id,
        voter,
        choice: poll().choice(choice).unwrap(),
        traceparent: None,
    };
    CastBallot {
        id: BallotId { ms, seq: 0 },
        ballot,
    }
}

/// Enqueues entries and has a worker without the option c process them. Returns the ids of the dead letters.
async fn dead_letters(storage: &Storage, entries: &[&[(&str, &str)]]) -> Vec<String> {
    let store = storage.store().await;
    for entry in entries {
        storage.enqueue_raw(entry).await;
    }
    let mut worker = Service::start("worker", storage, &[]);
    let letters = eventually(
        "dead letters",
        |letters: &Vec<String>| letters.len() == entries.len(),
        async || ids(&store).await,
    )
    .await;
    // A running worker could claim entries of later steps.
    assert!(worker.process.terminate().success());
    letters
}

/// The ids of all dead letters.
async fn ids(store: &Store) -> Vec<String> {
    let letters = store.dead_letters().await.unwrap();
    letters.iter().map(|letter| letter.id.to_string()).collect()
}

#[test]
fn a_missing_database_is_reported_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("other").display().to_string();
    for arguments in [
        &["dead-letters"][..],
        &["replay", "--all"],
        &["export"],
        &["reset", "--confirm", "Cats or Dogs?"],
    ] {
        for program in ["worker", "voting-app"] {
            let mut command = command(program, &[("DATA_DIR", &data)]);
            let stderr = stderr_of(command.arg("admin").args(arguments));
            assert!(
                stderr.contains(&format!("there is no database {data}/voting.db")),
                "{stderr}"
            );
            assert!(
                !folder.path().join("other").exists(),
                "the command must not create the folder"
            );
        }
    }
}
