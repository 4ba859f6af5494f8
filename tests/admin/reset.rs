//! `worker admin reset`.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    process::{Command, Output, Stdio},
};

use poll::ballot::VoterId;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use store::Counts;

use super::{admin, cast, dead_letters, start, stderr_of, stdout_of, text};
use crate::{
    harness::{
        app::App,
        eventually,
        process::{Service, command},
        storage::{POLL_ID, READ_TIMEOUT, Storage, on_both_storages, on_storage, poll},
        viewer::Viewer,
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    a_reset_deletes_all_votes_and_voting_continues,
    a_reset_requires_the_question_as_confirmation,
    a_reset_is_confirmed_at_a_terminal,
    a_reset_waits_until_every_accepted_ballot_is_counted,
}

on_storage! {
    cluster, Cluster: a_reset_waits_until_every_accepted_ballot_is_counted,
}

async fn a_reset_deletes_all_votes_and_voting_continues(storage: Storage) {
    let voter = VoterId::random().to_string();
    dead_letters(&storage, &[&[("voter", &voter), ("choice", "c")]]).await;
    let app = App::start(&storage, &[]).await;
    let (voter_a, voter_b) = (Voter::new(&app.vote), Voter::new(&app.vote));
    voter_a.must_vote_for("a").await;
    voter_b.must_vote_for("b").await;
    let mut viewer = Viewer::open(&app.result, None).await;
    viewer.wait_for_votes(&[1, 1]).await;

    let reset = ["reset", "--confirm", "Cats or Dogs?"];
    let stdout = stdout_of(&mut admin(&storage, &reset, &[]));
    assert!(
        stdout.starts_with(
            "This deletes 2 votes and 1 dead letter of the poll \"Cats or Dogs?\" in "
        ) && stdout.ends_with("deleted 2 votes and 1 dead letter\n")
            && stdout.contains("Browsers still remember"),
        "{stdout}"
    );
    assert!(
        !stdout.contains("postgres:"),
        "the password is printed: {stdout}"
    );
    viewer.wait_for_votes(&[0, 0]).await;
    let store = storage.store().await;
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    assert_eq!(store.timeline_extent(&poll().id).await.unwrap(), None);
    assert_eq!(store.tally(&poll().id).await.unwrap().0, []);

    // Voters keep their identity and can vote again.
    assert_eq!(voter_a.get_page().await.selected_options(), ["a"]);
    voter_a.must_vote_for("b").await;
    viewer.wait_for_votes(&[0, 1]).await;
    voter_b.must_vote_for("b").await;
    voter_b.must_vote_for("a").await;
    viewer.wait_for_votes(&[1, 1]).await;
    assert_counts_are_right(&storage).await;
    app.stop().await;
}

async fn a_reset_requires_the_question_as_confirmation(storage: Storage) {
    let store = storage.store().await;
    store
        .upsert_ballots(&[cast(VoterId::random(), "a", 1)], &[])
        .await
        .unwrap();
    let no_terminal = stderr_of(&mut admin(&storage, &["reset"], &[]));
    assert!(
        no_terminal.contains("confirmation needs a terminal; give --confirm")
            && no_terminal.contains("\"Cats or Dogs?\""),
        "{no_terminal}"
    );
    for wrong in ["", "yes", "cats or dogs?", "Cats or Dogs? "] {
        let stderr = stderr_of(&mut admin(&storage, &["reset", "--confirm", wrong], &[]));
        assert!(
            stderr.contains("the poll's question is \"Cats or Dogs?\"; nothing was deleted"),
            "{stderr}"
        );
    }
    assert_eq!(store.counts().await.unwrap().votes, 1);
    let question = [("POLL_ID", POLL_ID), ("POLL_QUESTION", "Lunch?")];
    stdout_of(&mut admin(
        &storage,
        &["reset", "--confirm", "Lunch?"],
        &question,
    ));
    assert_eq!(store.counts().await.unwrap().votes, 0);
}

/// Runs a command with a terminal as its standard input, in which this text is typed.
fn at_a_terminal(mut command: Command, typed: &str) -> Output {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let keyboard = File::options()
        .read(true)
        .write(true)
        // The terminal must not become the controlling terminal of the tests.
        .custom_flags(OpenptFlags::NOCTTY.bits().cast_signed())
        .open(name.to_str().unwrap())
        .unwrap();
    let started = command
        .stdin(keyboard)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The terminal stays open until the command ends, because a closed one cannot be read.
    let mut typing = File::from(terminal);
    typing.write_all(typed.as_bytes()).unwrap();
    started.wait_with_output().unwrap()
}

async fn a_reset_is_confirmed_at_a_terminal(storage: Storage) {
    let store = storage.store().await;
    store
        .upsert_ballots(&[cast(VoterId::random(), "a", 1)], &[])
        .await
        .unwrap();
    for wrong in ["\n", "yes\n", "\u{4}"] {
        let ended = at_a_terminal(admin(&storage, &["reset"], &[]), wrong);
        assert!(!ended.status.success());
        let stderr = text(&ended.stderr);
        assert!(
            stderr.contains("that is not the question; nothing was deleted"),
            "{stderr}"
        );
    }
    assert_eq!(store.counts().await.unwrap().votes, 1);
    let ended = at_a_terminal(admin(&storage, &["reset"], &[]), "Cats or Dogs?\n");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(store.counts().await.unwrap().votes, 0);
}

async fn a_reset_waits_until_every_accepted_ballot_is_counted(storage: Storage) {
    let store = storage.store().await;
    let queue = storage.queue().await;
    store
        .upsert_ballots(&[cast(VoterId::random(), "a", 1)], &[])
        .await
        .unwrap();
    let accepted = cast(VoterId::random(), "b", 1).ballot;
    queue.enqueue(&accepted).await.unwrap();
    let reset = |wait| {
        let arguments = ["reset", "--confirm", "Cats or Dogs?", "--wait", wait];
        admin(&storage, &arguments, &[])
    };
    // At first the ballot is not delivered; then an idle consumer has read it.
    let stderr = stderr_of(&mut reset("100ms"));
    assert!(
        stderr.contains("1 waiting, 0 with a worker") && stderr.contains("a worker must run"),
        "{stderr}"
    );
    let pending = async || {
        let read = queue.consumer("idle").read(10, READ_TIMEOUT).await;
        read.unwrap().len()
    };
    eventually("the ballot", |pending: &usize| *pending == 1, pending).await;
    let stderr = stderr_of(&mut reset("100ms"));
    assert!(stderr.contains("0 waiting, 1 with a worker"), "{stderr}");
    assert_eq!(store.counts().await.unwrap().votes, 1);

    let waiting = start(reset("1m"));
    let _worker = Service::start("worker", &storage, &[]);
    let ended = waiting.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let stdout = text(&ended.stdout);
    assert!(
        stdout.ends_with("deleted 2 votes and 0 dead letters\n"),
        "{stdout}"
    );
    assert_eq!(store.counts().await.unwrap(), Counts::default());
}

#[test]
fn reset_help_says_that_browsers_remember_their_choice() {
    let help = stdout_of(command("voting-app", &[]).args(["admin", "reset", "--help"]));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("Browsers still remember their last choice"),
        "{help}"
    );
}
