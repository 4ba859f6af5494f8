//! What operators do on the command line while the services run.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use poll::ballot::{Ballot, BallotId, CastBallot, VoterId};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use store::{Contents, Store};

use sqlx::{Connection, PgConnection};

use crate::{
    harness::{
        app::App,
        eventually,
        process::{Service, command, output},
        skip::or_skip,
        storage::{Kind, SOON, Storage, on_both_storages, on_storage, poll},
        viewer::{Viewer, until_votes},
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    dead_letters_are_listed_with_their_reason,
    a_dead_letter_steers_no_terminal_and_ends_no_list,
    a_dead_letter_counts_once_its_option_is_offered,
    a_replay_never_replaces_a_newer_vote,
    what_cannot_be_replayed_stays_and_is_named,
    what_only_the_store_refuses_stays_and_the_others_are_replayed,
    replays_side_by_side_end_in_the_right_tally,
    an_export_is_every_standing_vote,
    an_export_to_a_file_is_whole_or_not_there,
    an_export_of_many_votes_takes_little_memory,
    a_reader_may_stop_reading_an_export,
    a_reset_begins_anew,
    a_reset_wants_the_question_confirmed,
    a_reset_is_confirmed_at_a_terminal,
    a_reset_waits_until_every_accepted_ballot_is_counted,
    a_reset_under_voting_leaves_the_tally_right,
    resets_and_workers_side_by_side_do_not_wait_for_each_other,
}

on_storage! {
    cluster, Cluster: a_reset_waits_until_every_accepted_ballot_is_counted,
}

/// `worker admin …` on this storage.
fn admin(storage: &Storage, arguments: &[&str], more: &[(&str, &str)]) -> Command {
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

/// What it printed. It must succeed.
fn said(command: &mut Command) -> String {
    let ended = output(command);
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(text(&ended.stderr), "");
    text(&ended.stdout)
}

/// What it complained of. It must fail.
fn complaint(command: &mut Command) -> String {
    let ended = output(command);
    assert!(!ended.status.success(), "{ended:?}");
    text(&ended.stderr)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const MORE_OPTIONS: [(&str, &str); 1] = [("POLL_OPTIONS", "a=Cats,b=Dogs,c=Birds")];

fn cast(voter: VoterId, choice: &str, ms: u64) -> CastBallot {
    let ballot = Ballot {
        voter,
        choice: poll().choice(choice).unwrap(),
        traceparent: None,
    };
    CastBallot {
        id: BallotId { ms, seq: 0 },
        ballot,
    }
}

/// Puts entries into the queue, and lets a worker without the option c deal with them. Returns the dead letters' ids.
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
    // So that it claims nothing and holds nothing later.
    assert!(worker.process.terminate().success());
    letters
}

async fn ids(store: &Store) -> Vec<String> {
    let letters = store.dead_letters().await.unwrap();
    letters.iter().map(|letter| letter.id.to_string()).collect()
}

/// Whoever lists them reads what anybody may have sent.
async fn a_dead_letter_steers_no_terminal_and_ends_no_list(storage: Storage) {
    let voter = "\u{1b}[2J\u{202e}abc\u{2066}";
    let long = "x".repeat(5000);
    let entries: [&[(&str, &str)]; 3] = [
        &[("voter", voter), ("choice", "a")],
        &[("nonsense", &long)],
        &[("nonsense", "of an absurd time")],
    ];
    let ids = dead_letters(&storage, &entries).await;
    let is_server = storage.database.is_some();
    let absurd = if is_server {
        "infinity"
    } else {
        "no time at all"
    };
    let last = &ids[2];
    let change =
        format!("UPDATE dead_letters SET received_at = '{absurd}' WHERE ballot = '{last}'");
    storage.execute(&change).await;

    let text = said(&mut admin(&storage, &["dead-letters"], &[]));
    let lines = said(&mut admin(
        &storage,
        &["dead-letters", "--format", "json"],
        &[],
    ));
    for listed in [&text, &lines] {
        let steers = |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{2066}".contains(*c);
        assert_eq!(listed.chars().find(steers), None, "{listed}");
        assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    }
    let longest = text.lines().map(str::len).max();
    assert!(longest.is_some_and(|longest| longest < 1200), "{longest:?}");
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["payload"]["voter"], voter,
        "programs read the same text"
    );
}

async fn dead_letters_are_listed_with_their_reason(storage: Storage) {
    storage.store().await;
    assert_eq!(
        said(&mut admin(&storage, &["dead-letters"], &[])),
        "no dead letters\n"
    );
    let json = ["dead-letters", "--format", "json"];
    assert_eq!(said(&mut admin(&storage, &json, &[])), "");

    let voter = VoterId::random().to_string();
    let before = jiff::Timestamp::now().as_millisecond();
    let letters = dead_letters(
        &storage,
        &[
            &[("voter", &voter), ("choice", "c")],
            &[("more", "\u{1b}[2J\u{9b}2J")],
        ],
    )
    .await;
    let lines = said(&mut admin(&storage, &json, &[]));
    let listed: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let listed_ids: Vec<_> = listed.iter().map(|letter| &letter["ballot"]).collect();
    assert_eq!(listed_ids, letters.iter().collect::<Vec<_>>());
    assert_eq!(
        listed[0]["payload"],
        serde_json::json!({"voter": voter, "choice": "c"})
    );
    for letter in &listed {
        let received: jiff::Timestamp = letter["received_at"].as_str().unwrap().parse().unwrap();
        let now = jiff::Timestamp::now().as_millisecond();
        assert!(
            (before..=now).contains(&received.as_millisecond()),
            "{letter}"
        );
    }

    let text = said(&mut admin(&storage, &["dead-letters"], &[]));
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{}  received 20", letters[0])),
        "{text}"
    );
    assert!(
        lines[1].contains("\"c\" is not a choice") && lines[2].contains(&voter),
        "{text}"
    );
    assert!(
        lines[4].contains("no field \"voter\"") && text.contains("[2J"),
        "{text}"
    );
    assert!(
        !text.contains(['\u{1b}', '\u{9b}']),
        "it could steer a terminal: {text:?}"
    );
}

async fn a_dead_letter_counts_once_its_option_is_offered(storage: Storage) {
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
    let said_once = said(&mut admin(&storage, &replay, &MORE_OPTIONS));
    assert_eq!(said_once, "1 dead letter replayed\n");
    assert_eq!(storage.counted().await, [("c".to_owned(), 1)]);
    assert_eq!(ids(&storage.store().await).await, letters[..1]);
    // In its own place: cast when it was cast, not now.
    let place = "SELECT cast_ms || '-' || cast_seq AS id, 1 + 0 * cast_seq AS one FROM votes";
    assert_eq!(storage.rows(place).await, [(letters[1].clone(), 1)]);
    assert_counts_are_right(&storage).await;

    // Again, it is no dead letter any more.
    let again = complaint(&mut admin(&storage, &replay, &MORE_OPTIONS));
    assert!(
        again.contains(&format!("{}: there is no such dead letter", letters[1])),
        "{again}"
    );
    let all = ["replay", "--all"];
    for count in ["1 dead letter replayed\n", "0 dead letters replayed\n"] {
        assert_eq!(said(&mut admin(&storage, &all, &MORE_OPTIONS)), count);
    }
    assert_eq!(storage.counted().await, [("c".to_owned(), 2)]);
    assert_counts_are_right(&storage).await;
}

async fn a_replay_never_replaces_a_newer_vote(storage: Storage) {
    let voter = VoterId::random();
    let entry: &[_] = &[("voter", &*voter.to_string()), ("choice", "c")];
    let letters = dead_letters(&storage, &[entry, entry]).await;
    let newest: BallotId = letters[1].parse().unwrap();
    let store = storage.store().await;
    store
        .apply(&[cast(voter, "a", newest.ms + 1)], &[])
        .await
        .unwrap();
    let said = said(&mut admin(&storage, &["replay", "--all"], &MORE_OPTIONS));
    assert_eq!(
        said,
        "2 dead letters replayed\n2 of them changed no vote: the voter has a newer one\n"
    );
    assert_eq!(storage.counted().await, [("a".to_owned(), 1)]);
    assert_eq!(ids(&store).await, [""; 0]);
    assert_counts_are_right(&storage).await;
}

async fn what_cannot_be_replayed_stays_and_is_named(storage: Storage) {
    let voter = VoterId::random().to_string();
    let letters = dead_letters(
        &storage,
        &[
            &[("voter", "nobody"), ("choice", "c")],
            &[("voter", &voter), ("choice", "c")],
        ],
    )
    .await;
    let unknown = "12345-6";
    let replay = [&["replay", unknown][..], &[&letters[0], &letters[1]]].concat();
    let ended = output(&mut admin(&storage, &replay, &MORE_OPTIONS));
    assert!(!ended.status.success());
    assert_eq!(text(&ended.stdout), "1 dead letter replayed\n");
    let complaint_of_two = text(&ended.stderr);
    for expected in [
        format!("{unknown}: there is no such dead letter\n"),
        format!(
            "{}: the voter id is not 32 lowercase hexadecimal digits\n",
            letters[0]
        ),
        "error: 2 dead letters not replayed\n".to_owned(),
    ] {
        assert!(complaint_of_two.contains(&expected), "{complaint_of_two}");
    }
    assert_eq!(storage.counted().await, [("c".to_owned(), 1)]);
    assert_eq!(ids(&storage.store().await).await, letters[..1]);

    // What was changed by hand and cannot be read stays too.
    storage
        .execute("UPDATE dead_letters SET payload = 'by hand'")
        .await;
    let unreadable = complaint(&mut admin(&storage, &["replay", "--all"], &[]));
    assert!(
        unreadable.contains("the payload cannot be read"),
        "{unreadable}"
    );
    // Nothing asked for, something that is no id, and both at once.
    for (arguments, expected) in [
        (&["replay"][..], "BALLOT-ID"),
        (&["replay", "first"], "\"first\" is not a ballot id"),
        (&["replay", "--all", "1-0"], "cannot be used with"),
    ] {
        let said = complaint(&mut admin(&storage, arguments, &[]));
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(ids(&storage.store().await).await, letters[..1]);
}

async fn what_only_the_store_refuses_stays_and_the_others_are_replayed(storage: Storage) {
    let voters: Vec<_> = (0..5).map(|_| VoterId::random().to_string()).collect();
    let entries: Vec<_> = voters
        .iter()
        .map(|voter| [("voter", voter.as_str()), ("choice", "c")])
        .collect();
    let entries: Vec<&[_]> = entries.iter().map(|entry| &entry[..]).collect();
    let letters = dead_letters(&storage, &entries).await;
    crate::mover::refuse_in_the_store(&storage, voters[2].parse().unwrap()).await;
    let said = complaint(&mut admin(&storage, &["replay", "--all"], &MORE_OPTIONS));
    assert!(
        said.starts_with(&format!("{}: ", letters[2])) && said.contains("refused by a rule"),
        "{said}"
    );
    assert_eq!(ids(&storage.store().await).await, letters[2..3]);
    assert_eq!(storage.counted().await, [("c".to_owned(), 4)]);
}

async fn replays_side_by_side_end_in_the_right_tally(storage: Storage) {
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
        let said = text(&ended.stdout);
        replayed += said.split(' ').next().unwrap().parse::<usize>().unwrap();
    }
    assert_eq!(replayed, 40, "each by one of them");
    assert_eq!(storage.counted().await, [("c".to_owned(), 40)]);
    assert_counts_are_right(&storage).await;
}

async fn an_export_is_every_standing_vote(storage: Storage) {
    const EMPTY: &str = "voter,choice,cast_at\n";
    let store = storage.store().await;
    assert_eq!(said(&mut admin(&storage, &["export"], &[])), EMPTY);
    let voter = |name: &str| format!("{name:0>32}").parse::<VoterId>().unwrap();
    let ballots = [
        cast(voter("b"), "a", 1_763_900_000_007),
        cast(voter("a"), "b", 1_763_900_000_000),
        cast(voter("b"), "b", 1_763_900_000_120),
        cast(voter("9"), "a", u64::MAX / 2),
    ];
    store.apply(&ballots, &[]).await.unwrap();
    // As the original app left them, and as it would quote them.
    storage
        .execute(
            "INSERT INTO votes (id, vote) VALUES ('ffab', 'a'), ('Z,\"1', 'b'), ('=1+1', '@b')",
        )
        .await;
    let zeros = "0".repeat(31);
    let expected = [
        EMPTY,
        &format!("{zeros}9,a,\n"),
        &format!("{zeros}a,b,2025-11-23T12:13:20.000Z\n"),
        &format!("{zeros}b,b,2025-11-23T12:13:20.120Z\n"),
        "'=1+1,'@b,\n",
        "\"Z,\"\"1\",b,\n",
        "ffab,a,\n",
    ]
    .concat();
    let marked = said(&mut admin(&storage, &["export", "--bom"], &[]));
    assert_eq!(marked, format!("\u{feff}{expected}"));
    assert_eq!(said(&mut admin(&storage, &["export"], &[])), expected);
}

async fn an_export_to_a_file_is_whole_or_not_there(storage: Storage) {
    let store = storage.store().await;
    let ballots = [
        cast(VoterId::random(), "a", 1_763_900_000_000),
        cast(VoterId::random(), "b", 1_763_900_000_000),
    ];
    store.apply(&ballots, &[]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("votes.csv");
    let name = file.display().to_string();
    let export = ["export", "--output", &name];
    let files = || {
        let names = std::fs::read_dir(folder.path()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    let said_to_file = said(&mut admin(&storage, &export, &[]));
    assert_eq!(said_to_file, format!("2 votes in {name}\n"));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, said(&mut admin(&storage, &["export"], &[])));
    assert_eq!(files(), ["votes.csv"]);
    // Without a folder in its name it is in this one.
    said(admin(&storage, &["export", "--output", "votes.csv"], &[]).current_dir(folder.path()));
    assert_eq!(files(), ["votes.csv"]);

    // One that fails leaves the last one as it was, and nothing beside it.
    storage.execute("ALTER TABLE votes RENAME TO hidden").await;
    let said = complaint(&mut admin(&storage, &export, &[]));
    assert!(said.contains(" (DATABASE_URL): "), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    assert_eq!(files(), ["votes.csv"]);
    storage.execute("ALTER TABLE hidden RENAME TO votes").await;

    let nowhere = folder.path().join("no/such/folder.csv");
    for bad in [&nowhere.display().to_string(), "/dev/null", "/"] {
        let said = complaint(&mut admin(&storage, &["export", "--output", bad], &[]));
        assert!(
            said.starts_with(&format!("error: --output: {bad} cannot be written: ")),
            "{said}"
        );
    }
}

/// So many votes that all of them in memory would be seen.
const MANY: usize = 300_000;

async fn many_votes(storage: &Storage, count: usize) {
    storage.store().await;
    let statement = if storage.database_url.starts_with("sqlite") {
        format!(
            "INSERT INTO votes WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             SELECT printf('%032x', n), iif(n % 3 = 0, 'a', 'b'), 1763900000000 + n, 0 FROM n"
        )
    } else {
        format!(
            "INSERT INTO votes SELECT lpad(to_hex(n), 32, '0'), CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END, 1763900000000 + n, 0
             FROM generate_series(1, {count}) AS n"
        )
    };
    storage.execute(&statement).await;
}

fn start(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

async fn an_export_of_many_votes_takes_little_memory(storage: Storage) {
    many_votes(&storage, MANY).await;
    let mut export = start(admin(&storage, &["export"], &[]));
    let mut lines = BufReader::new(export.stdout.take().unwrap()).lines();
    // It cannot have ended: what is left is more than a pipe holds.
    assert_eq!(lines.by_ref().take(MANY / 2).count(), MANY / 2);
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", export.id())) {
        let most = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let most: usize = most.unwrap().trim().parse().unwrap();
        assert!(most < 40 * 1024, "{most} KiB");
    }
    assert_eq!(lines.map(Result::unwrap).count(), MANY - MANY / 2 + 1);
    assert!(export.wait().unwrap().success());
}

async fn a_reader_may_stop_reading_an_export(storage: Storage) {
    // More than a pipe holds.
    many_votes(&storage, 20_000).await;
    let mut export = start(admin(&storage, &["export"], &[]));
    let mut first = String::new();
    let mut reader = BufReader::new(export.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    assert_eq!(first, "voter,choice,cast_at\n");
    let ended = export.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(text(&ended.stderr), "");
}

async fn a_reset_begins_anew(storage: Storage) {
    let voter = VoterId::random().to_string();
    dead_letters(&storage, &[&[("voter", &voter), ("choice", "c")]]).await;
    let app = App::start(&storage, &[]).await;
    let (one, other) = (Voter::new(&app.vote), Voter::new(&app.vote));
    one.must_vote_for("a").await;
    other.must_vote_for("b").await;
    let mut viewer = Viewer::open(&app.result, None).await;
    viewer.until_votes(&[1, 1]).await;

    let reset = ["reset", "--confirm", "Cats or Dogs?"];
    let reset = said(&mut admin(&storage, &reset, &[]));
    assert!(
        reset.starts_with(
            "This deletes 2 votes and 1 dead letter of the poll \"Cats or Dogs?\" in "
        ) && reset.ends_with("deleted 2 votes and 1 dead letter\n")
            && reset.contains("Browsers still remember"),
        "{reset}"
    );
    assert!(
        !reset.contains("postgres:"),
        "the password is shown: {reset}"
    );
    viewer.until_votes(&[0, 0]).await;
    let store = storage.store().await;
    assert_eq!(store.contents().await.unwrap(), Contents::default());
    assert_eq!(store.timeline_extent().await.unwrap(), None);
    assert_eq!(store.tally().await.unwrap().0, []);

    // Voters are still who they were, and count again.
    assert_eq!(one.look().await.chosen(), ["a"]);
    one.must_vote_for("b").await;
    viewer.until_votes(&[0, 1]).await;
    other.must_vote_for("b").await;
    other.must_vote_for("a").await;
    viewer.until_votes(&[1, 1]).await;
    assert_counts_are_right(&storage).await;
    app.stop().await;
}

async fn a_reset_wants_the_question_confirmed(storage: Storage) {
    let store = storage.store().await;
    store
        .apply(&[cast(VoterId::random(), "a", 1)], &[])
        .await
        .unwrap();
    let no_terminal = complaint(&mut admin(&storage, &["reset"], &[]));
    assert!(
        no_terminal.contains("there is no terminal; give --confirm")
            && no_terminal.contains("\"Cats or Dogs?\""),
        "{no_terminal}"
    );
    for wrong in ["", "yes", "cats or dogs?", "Cats or Dogs? "] {
        let said = complaint(&mut admin(&storage, &["reset", "--confirm", wrong], &[]));
        assert!(
            said.contains("the poll's question is \"Cats or Dogs?\"; nothing was deleted"),
            "{said}"
        );
    }
    assert_eq!(store.contents().await.unwrap().votes, 1);
    let question = [("POLL_QUESTION", "Lunch?")];
    said(&mut admin(
        &storage,
        &["reset", "--confirm", "Lunch?"],
        &question,
    ));
    assert_eq!(store.contents().await.unwrap().votes, 0);
}

/// Runs it with a terminal as its input, at which somebody types this.
fn at_a_terminal(mut command: Command, typed: &str) -> Output {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let keyboard = File::options()
        .read(true)
        .write(true)
        // It must not become the terminal of the tests themselves.
        .custom_flags(OpenptFlags::NOCTTY.bits().cast_signed())
        .open(name.to_str().unwrap())
        .unwrap();
    let started = command
        .stdin(keyboard)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Open until it has ended: a terminal that is gone cannot be read.
    let mut typing = File::from(terminal);
    typing.write_all(typed.as_bytes()).unwrap();
    started.wait_with_output().unwrap()
}

async fn a_reset_is_confirmed_at_a_terminal(storage: Storage) {
    let store = storage.store().await;
    store
        .apply(&[cast(VoterId::random(), "a", 1)], &[])
        .await
        .unwrap();
    for wrong in ["\n", "yes\n", "\u{4}"] {
        let ended = at_a_terminal(admin(&storage, &["reset"], &[]), wrong);
        assert!(!ended.status.success());
        let said = text(&ended.stderr);
        assert!(
            said.contains("that is not the question; nothing was deleted"),
            "{said}"
        );
    }
    assert_eq!(store.contents().await.unwrap().votes, 1);
    let ended = at_a_terminal(admin(&storage, &["reset"], &[]), "Cats or Dogs?\n");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(store.contents().await.unwrap().votes, 0);
}

async fn a_reset_waits_until_every_accepted_ballot_is_counted(storage: Storage) {
    let store = storage.store().await;
    let queue = storage.queue().await;
    store
        .apply(&[cast(VoterId::random(), "a", 1)], &[])
        .await
        .unwrap();
    let accepted = cast(VoterId::random(), "b", 1).ballot;
    queue.enqueue(&accepted).await.unwrap();
    let reset = |wait| {
        let arguments = ["reset", "--confirm", "Cats or Dogs?", "--wait", wait];
        admin(&storage, &arguments, &[])
    };
    // Nobody has it yet; then somebody holds it who is silent.
    let said_early = complaint(&mut reset("100ms"));
    assert!(
        said_early.contains("1 waiting, 0 with a worker")
            && said_early.contains("a worker must run"),
        "{said_early}"
    );
    let held = async || {
        let held = queue.consumer("silent").next(10, SOON).await;
        held.unwrap().len()
    };
    eventually("the ballot", |held: &usize| *held == 1, held).await;
    let said_early = complaint(&mut reset("100ms"));
    assert!(
        said_early.contains("0 waiting, 1 with a worker"),
        "{said_early}"
    );
    assert_eq!(store.contents().await.unwrap().votes, 1);

    let waiting = start(reset("1m"));
    let _worker = Service::start("worker", &storage, &[]);
    let ended = waiting.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let said = text(&ended.stdout);
    assert!(
        said.ends_with("deleted 2 votes and 0 dead letters\n"),
        "{said}"
    );
    assert_eq!(store.contents().await.unwrap(), Contents::default());
}

async fn a_reset_under_voting_leaves_the_tally_right(storage: Storage) {
    const VOTERS: usize = 4;
    let app = App::start(&storage, &[]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let voters: Vec<_> = (0..VOTERS)
        .map(|index| {
            let (vote, stop) = (app.vote.clone(), stop.clone());
            tokio::spawn(async move {
                let regular = Voter::new(&vote);
                while !stop.load(Ordering::Relaxed) {
                    regular.must_vote_for(["a", "b"][index % 2]).await;
                    Voter::new(&vote).must_vote_for("a").await;
                }
                // After the last reset.
                regular.must_vote_for("b").await;
            })
        })
        .collect();
    let store = storage.store().await;
    for _ in 0..4 {
        let counted = async || store.contents().await.unwrap().votes;
        eventually("some votes", |counted: &u64| *counted > 20, counted).await;
        let reset = ["reset", "--confirm", "Cats or Dogs?"];
        let reset = admin(&storage, &reset, &[]);
        let ended = tokio::task::spawn_blocking(|| start(reset).wait_with_output().unwrap());
        let ended = ended.await.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        assert_counts_are_right_in_one_moment(&storage).await;
    }
    stop.store(true, Ordering::Relaxed);
    for voter in voters {
        voter.await.unwrap();
    }
    let queue = storage.queue().await;
    let drained = async || queue.consumer("looks").trim().await.unwrap().oldest;
    eventually("an empty queue", Option::is_none, drained).await;
    assert_counts_are_right(&storage).await;
    let counted = storage.counted().await;
    let b = counted.iter().find(|(option, _)| option == "b");
    assert_eq!(b, Some(&("b".to_owned(), i64::try_from(VOTERS).unwrap())));
    let all: Vec<u64> = ["a", "b"]
        .map(|key| {
            let found = counted.iter().find(|(option, _)| option == key);
            found.map_or(0, |(_, votes)| votes.unsigned_abs())
        })
        .into();
    until_votes(&app.result, &all).await;
    app.stop().await;
}

/// The same while votes come in: both counts in one statement.
async fn assert_counts_are_right_in_one_moment(storage: &Storage) {
    let differences = "SELECT coalesce(option, vote) AS option, coalesce(votes, 0) - coalesce(counted, 0) AS difference
         FROM (SELECT option, votes FROM tally WHERE votes <> 0) AS t
         FULL JOIN (SELECT vote, count(*) AS counted FROM votes GROUP BY vote) AS v ON option = vote
         WHERE coalesce(votes, 0) <> coalesce(counted, 0)";
    assert_eq!(storage.rows(differences).await, []);
}

async fn resets_and_workers_side_by_side_do_not_wait_for_each_other(storage: Storage) {
    let regulars: Vec<_> = (0..20).map(|_| VoterId::random()).collect();
    storage.store().await;
    let workers = (0..4_u64).map(|worker| {
        let (regulars, config) = (regulars.clone(), storage.store_config());
        tokio::spawn(async move {
            let store = Store::open(&config).await.unwrap();
            for batch in 0..40 {
                let choice = ["a", "b"][usize::from((batch + worker) % 3 == 0)];
                let new = (0..20).map(|_| VoterId::random());
                let voters = regulars.iter().copied().chain(new);
                let ballots: Vec<_> = voters
                    .map(|voter| cast(voter, choice, batch * 4 + worker + 1))
                    .collect();
                // A deadlock would be an error here.
                store.apply(&ballots, &[]).await.unwrap();
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    let store = storage.store().await;
    while workers.iter().any(|worker| !worker.is_finished()) {
        store.reset().await.unwrap();
        assert_counts_are_right_in_one_moment(&storage).await;
    }
    for worker in workers {
        worker.await.unwrap();
    }
    assert_counts_are_right(&storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_does_not_wait_long_for_somebody_who_reads() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let store = storage.store().await;
    let ballot = [cast(VoterId::random(), "a", 1)];
    store.apply(&ballot, &[]).await.unwrap();
    // As a long export does.
    let mut reader = PgConnection::connect(&storage.database_url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT id FROM votes")
        .execute(&mut *reading)
        .await
        .unwrap();
    let reset = ["reset", "--confirm", "Cats or Dogs?"];
    let said_meanwhile = complaint(&mut admin(&storage, &reset, &[]));
    assert!(
        said_meanwhile.contains("others use the votes, perhaps an export"),
        "{said_meanwhile}"
    );
    assert_eq!(store.contents().await.unwrap().votes, 1);
    reading.rollback().await.unwrap();
    said(&mut admin(&storage, &reset, &[]));
    assert_eq!(store.contents().await.unwrap().votes, 0);
}

#[test]
fn a_place_without_a_database_is_said_by_name() {
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
            let said = complaint(command.arg("admin").args(arguments));
            assert!(
                said.contains(&format!("there is no database {data}/voting.db")),
                "{said}"
            );
            assert!(
                !folder.path().join("other").exists(),
                "nothing is made there"
            );
        }
    }
}

#[test]
fn help_tells_what_a_reset_does_not_reach() {
    let help = said(command("voting-app", &[]).args(["admin", "reset", "--help"]));
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        help.contains("Browsers still remember their last choice"),
        "{help}"
    );
}
