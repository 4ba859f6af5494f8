//! `worker admin replay`.

use std::process::{Child, Stdio};

use poll::ballot::{BallotId, VoterId};

use super::{MORE_OPTIONS, admin, cast, dead_letters, ids, stderr_of, stdout_of, text};
use crate::{
    harness::{
        process::output,
        storage::{Storage, on_both_storages},
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    a_dead_letter_is_counted_after_its_option_is_added,
    a_replay_never_replaces_a_newer_vote,
    dead_letters_that_cannot_be_replayed_stay_and_are_reported,
    a_dead_letter_rejected_by_the_store_stays_and_the_others_are_replayed,
    concurrent_replays_count_each_dead_letter_once,
}

async fn a_dead_letter_is_counted_after_its_option_is_added(storage: Storage) {
    let (one, other) = (VoterId::random().to_string(), VoterId::random().to_string());
    let letters = dead_letters(
        &storage,
        &[
            &[("voter", &one), ("choice", "c")],
            &[("voter", &other), ("choice", "c")],
        ],
    )
    .await;
    let replay = ["replay", &letters[1]];
    let replayed = stdout_of(&mut admin(&storage, &replay, &MORE_OPTIONS));
    assert_eq!(replayed, "1 dead letter replayed\n");
    assert_eq!(storage.count_votes().await, [("c".to_owned(), 1)]);
    assert_eq!(ids(&storage.store().await).await, letters[..1]);
    // The vote keeps the id of its ballot: the time when it was cast.
    let vote_id = "SELECT cast_ms || '-' || cast_seq AS id, 1 + 0 * cast_seq AS one FROM votes";
    assert_eq!(storage.rows(vote_id).await, [(letters[1].clone(), 1)]);
    assert_counts_are_right(&storage).await;

    // After its replay it is no longer a dead letter.
    let again = stderr_of(&mut admin(&storage, &replay, &MORE_OPTIONS));
    assert!(
        again.contains(&format!("{}: there is no such dead letter", letters[1])),
        "{again}"
    );
    let all = ["replay", "--all"];
    for count in ["1 dead letter replayed\n", "0 dead letters replayed\n"] {
        assert_eq!(stdout_of(&mut admin(&storage, &all, &MORE_OPTIONS)), count);
    }
    assert_eq!(storage.count_votes().await, [("c".to_owned(), 2)]);
    assert_counts_are_right(&storage).await;
}

async fn a_replay_never_replaces_a_newer_vote(storage: Storage) {
    let voter = VoterId::random();
    let entry: &[_] = &[("voter", &*voter.to_string()), ("choice", "c")];
    let letters = dead_letters(&storage, &[entry, entry]).await;
    let newest: BallotId = letters[1].parse().unwrap();
    let store = storage.store().await;
    store
        .upsert_ballots(&[cast(voter, "a", newest.ms + 1)], &[])
        .await
        .unwrap();
    let stdout = stdout_of(&mut admin(&storage, &["replay", "--all"], &MORE_OPTIONS));
    assert_eq!(
        stdout,
        "2 dead letters replayed\n2 of them changed no vote: the voter has a newer one\n"
    );
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 1)]);
    assert_eq!(ids(&store).await, [""; 0]);
    assert_counts_are_right(&storage).await;
}

async fn dead_letters_that_cannot_be_replayed_stay_and_are_reported(storage: Storage) {
    let voter = VoterId::random().to_string();
    let letters = dead_letters(
        &storage,
        &[
            &[("voter", "invalid"), ("choice", "c")],
            &[("voter", &voter), ("choice", "c")],
        ],
    )
    .await;
    let unknown = "12345-6";
    let replay = [&["replay", unknown][..], &[&letters[0], &letters[1]]].concat();
    let ended = output(&mut admin(&storage, &replay, &MORE_OPTIONS));
    assert!(!ended.status.success());
    assert_eq!(text(&ended.stdout), "1 dead letter replayed\n");
    let stderr = text(&ended.stderr);
    for expected in [
        format!("{unknown}: there is no such dead letter\n"),
        format!(
            "{}: the voter id is not 32 lowercase hexadecimal digits\n",
            letters[0]
        ),
        "error: 2 dead letters not replayed\n".to_owned(),
    ] {
        assert!(stderr.contains(&expected), "{stderr}");
    }
    assert_eq!(storage.count_votes().await, [("c".to_owned(), 1)]);
    assert_eq!(ids(&storage.store().await).await, letters[..1]);

    // An unreadable payload, for example one edited by hand, stays too.
    storage
        .execute("UPDATE dead_letters SET payload = 'by hand'")
        .await;
    let unreadable = stderr_of(&mut admin(&storage, &["replay", "--all"], &[]));
    assert!(
        unreadable.contains("the payload cannot be read"),
        "{unreadable}"
    );
    // No argument, an invalid id, and both kinds of arguments.
    for (arguments, expected) in [
        (&["replay"][..], "BALLOT-ID"),
        (&["replay", "first"], "\"first\" is not a ballot id"),
        (&["replay", "--all", "1-0"], "cannot be used with"),
    ] {
        let stderr = stderr_of(&mut admin(&storage, arguments, &[]));
        assert!(stderr.contains(expected), "{stderr}");
    }
    assert_eq!(ids(&storage.store().await).await, letters[..1]);
}

async fn a_dead_letter_rejected_by_the_store_stays_and_the_others_are_replayed(storage: Storage) {
    let voters: Vec<_> = (0..5).map(|_| VoterId::random().to_string()).collect();
    let entries: Vec<_> = voters
        .iter()
        .map(|voter| [("voter", voter.as_str()), ("choice", "c")])
        .collect();
    let entries: Vec<&[_]> = entries.iter().map(|entry| &entry[..]).collect();
    let letters = dead_letters(&storage, &entries).await;
    crate::ballot_processor::reject_in_the_store(&storage, voters[2].parse().unwrap()).await;
    let stderr = stderr_of(&mut admin(&storage, &["replay", "--all"], &MORE_OPTIONS));
    assert!(
        stderr.starts_with(&format!("{}: ", letters[2])) && stderr.contains("rejected by a rule"),
        "{stderr}"
    );
    assert_eq!(ids(&storage.store().await).await, letters[2..3]);
    assert_eq!(storage.count_votes().await, [("c".to_owned(), 4)]);
}

async fn concurrent_replays_count_each_dead_letter_once(storage: Storage) {
    let voters: Vec<_> = (0..40).map(|_| VoterId::random().to_string()).collect();
    let entries: Vec<_> = voters
        .iter()
        .map(|voter| [("voter", voter.as_str()), ("choice", "c")])
        .collect();
    let entries: Vec<&[_]> = entries.iter().map(|entry| &entry[..]).collect();
    dead_letters(&storage, &entries).await;
    let replays: Vec<Child> = (0..4)
        .map(|_| {
            let mut replay = admin(&storage, &["replay", "--all"], &MORE_OPTIONS);
            replay
                .env("WORKER_BATCH", "7")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            replay.spawn().unwrap()
        })
        .collect();
    let mut replayed = 0;
    for replay in replays {
        let ended = replay.wait_with_output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        let stdout = text(&ended.stdout);
        replayed += stdout.split(' ').next().unwrap().parse::<usize>().unwrap();
    }
    assert_eq!(replayed, 40, "every dead letter is replayed once");
    assert_eq!(storage.count_votes().await, [("c".to_owned(), 40)]);
    assert_counts_are_right(&storage).await;
}
