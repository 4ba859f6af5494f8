//! `worker admin export`.

use std::io::{BufRead, BufReader};

use poll::ballot::VoterId;

use super::{admin, cast, start, stderr_of, stdout_of, text};
use crate::harness::storage::{POLL_ID, Storage, on_both_storages};

on_both_storages! {
    an_export_contains_the_current_vote_of_every_voter,
    an_export_to_a_file_is_atomic,
    an_export_of_many_votes_uses_little_memory,
    an_export_succeeds_when_its_reader_closes_the_pipe,
}

async fn an_export_contains_the_current_vote_of_every_voter(storage: Storage) {
    const EMPTY: &str = "poll,voter,choice,cast_at\n";
    let store = storage.store().await;
    assert_eq!(stdout_of(&mut admin(&storage, &["export"], &[])), EMPTY);
    let voter = |name: &str| format!("{name:0>32}").parse::<VoterId>().unwrap();
    let ballots = [
        cast(voter("b"), "a", 1_763_900_000_007),
        cast(voter("a"), "b", 1_763_900_000_000),
        cast(voter("b"), "b", 1_763_900_000_120),
        cast(voter("9"), "a", u64::MAX / 2),
    ];
    store.upsert_ballots(&ballots, &[]).await.unwrap();
    // Rows without a time, as the original app stored them, and ids and choices that need quoting.
    storage
        .execute(
            "INSERT INTO votes (poll, id, vote)
             VALUES ('tea', 'ffab', 'a'), ('tea', 'Z,\"1', 'b'), ('=p', '=1+1', '@b')",
        )
        .await;
    let zeros = "0".repeat(31);
    let expected = [
        EMPTY,
        &format!("{POLL_ID},{zeros}9,a,\n"),
        &format!("{POLL_ID},{zeros}a,b,2025-11-23T12:13:20.000Z\n"),
        &format!("{POLL_ID},{zeros}b,b,2025-11-23T12:13:20.120Z\n"),
        "'=p,'=1+1,'@b,\n",
        "tea,\"Z,\"\"1\",b,\n",
        "tea,ffab,a,\n",
    ]
    .concat();
    let marked = stdout_of(&mut admin(&storage, &["export", "--bom"], &[]));
    assert_eq!(marked, format!("\u{feff}{expected}"));
    assert_eq!(stdout_of(&mut admin(&storage, &["export"], &[])), expected);
    let of_poll = stdout_of(&mut admin(&storage, &["export", "--poll", "tea"], &[]));
    assert_eq!(
        of_poll,
        [EMPTY, "tea,\"Z,\"\"1\",b,\n", "tea,ffab,a,\n"].concat()
    );
}

async fn an_export_to_a_file_is_atomic(storage: Storage) {
    let store = storage.store().await;
    let ballots = [
        cast(VoterId::random(), "a", 1_763_900_000_000),
        cast(VoterId::random(), "b", 1_763_900_000_000),
    ];
    store.upsert_ballots(&ballots, &[]).await.unwrap();
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
    let stdout = stdout_of(&mut admin(&storage, &export, &[]));
    assert_eq!(stdout, format!("2 votes in {name}\n"));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written, stdout_of(&mut admin(&storage, &["export"], &[])));
    assert_eq!(files(), ["votes.csv"]);
    // A file name without a folder is relative to the working directory.
    stdout_of(
        admin(&storage, &["export", "--output", "votes.csv"], &[]).current_dir(folder.path()),
    );
    assert_eq!(files(), ["votes.csv"]);

    // A failed export does not change the existing file and leaves no temporary file.
    storage.execute("ALTER TABLE votes RENAME TO hidden").await;
    let stderr = stderr_of(&mut admin(&storage, &export, &[]));
    assert!(stderr.contains(" (DATABASE_URL): "), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);
    assert_eq!(files(), ["votes.csv"]);
    storage.execute("ALTER TABLE hidden RENAME TO votes").await;

    let nowhere = folder.path().join("no/such/folder.csv");
    for bad in [&nowhere.display().to_string(), "/dev/null", "/"] {
        let stderr = stderr_of(&mut admin(&storage, &["export", "--output", bad], &[]));
        assert!(
            stderr.starts_with(&format!("error: --output: {bad} cannot be written: ")),
            "{stderr}"
        );
    }
}

/// Enough votes to exceed the memory limit of the test if an export loaded all of them.
const MANY: usize = 300_000;

/// Inserts this number of votes.
async fn insert_votes(storage: &Storage, count: usize) {
    storage.store().await;
    let statement = if storage.database_url.starts_with("sqlite") {
        format!(
            "INSERT INTO votes WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {count})
             SELECT printf('%032x', n), iif(n % 3 = 0, 'a', 'b'), 1763900000000 + n, 0, '{POLL_ID}' FROM n"
        )
    } else {
        format!(
            "INSERT INTO votes SELECT lpad(to_hex(n), 32, '0'), CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END, 1763900000000 + n, 0
             FROM generate_series(1, {count}) AS n"
        )
    };
    storage.execute(&statement).await;
}

async fn an_export_of_many_votes_uses_little_memory(storage: Storage) {
    insert_votes(&storage, MANY).await;
    let mut export = start(admin(&storage, &["export"], &[]));
    let mut lines = BufReader::new(export.stdout.take().unwrap()).lines();
    // The export is still running: the rest is larger than the buffer of a pipe.
    assert_eq!(lines.by_ref().take(MANY / 2).count(), MANY / 2);
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", export.id())) {
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let peak: usize = peak.unwrap().trim().parse().unwrap();
        assert!(peak < 40 * 1024, "{peak} KiB");
    }
    assert_eq!(lines.map(Result::unwrap).count(), MANY - MANY / 2 + 1);
    assert!(export.wait().unwrap().success());
}

async fn an_export_succeeds_when_its_reader_closes_the_pipe(storage: Storage) {
    // More than the buffer of a pipe.
    insert_votes(&storage, 20_000).await;
    let mut export = start(admin(&storage, &["export"], &[]));
    let mut first = String::new();
    let mut reader = BufReader::new(export.stdout.take().unwrap());
    reader.read_line(&mut first).unwrap();
    drop(reader);
    assert_eq!(first, "poll,voter,choice,cast_at\n");
    let ended = export.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(text(&ended.stderr), "");
}
