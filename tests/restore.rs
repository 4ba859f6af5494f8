//! Restores of backups with the standard tools.

use std::{fs, process::Command};

use crate::{
    faults::{start_ready, wait_until_empty},
    harness::{
        eventually,
        postgres::Database,
        process::{command, output},
        skip::or_skip,
        storage::{Backend, POLL_ID, Storage},
        viewer::{get, wait_for_votes},
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

const VOTES: &str = "INSERT INTO votes (id, vote, cast_ms, cast_seq)
    SELECT 'v' || n, CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END, 1000000000000 + n * 1000, n FROM generate_series(1, 900) AS n";

/// A database with 900 votes, and an empty one.
async fn two_databases() -> Result<(Storage, Storage), String> {
    let from = Storage::new(Backend::Servers).await?;
    from.store().await;
    from.execute(VOTES).await;
    Ok((from, Storage::new(Backend::Servers).await?))
}

fn database(storage: &Storage) -> &Database {
    storage.database.as_ref().expect("a database on a server")
}

async fn assert_all_votes_exist(storage: &Storage) {
    assert_eq!(
        storage.count_votes().await,
        [("a".to_owned(), 300), ("b".to_owned(), 600)]
    );
    assert_counts_are_right(storage).await;
    let comparison = storage.store().await.compare_counts().await.unwrap();
    assert!(comparison.is_equal(), "{comparison}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_dump_restores_into_an_empty_database() {
    let (from, to) = or_skip!(two_databases().await);
    let dump = database(&from).dump(&[]);
    database(&to).restore(&dump).unwrap();
    assert_all_votes_exist(&to).await;
}

/// Both the dump and the existing tables contain counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_only_dump_restores_into_existing_tables() {
    let (from, to) = or_skip!(two_databases().await);
    to.store().await;
    let dump = database(&from).dump(&["--data-only", "--exclude-table=_sqlx_migrations"]);
    database(&to).restore(&dump).unwrap();
    assert_all_votes_exist(&to).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_votes_only_dump_restores_into_existing_tables() {
    let (from, to) = or_skip!(two_databases().await);
    to.store().await;
    let dump = database(&from).dump(&["--data-only", "--table=votes"]);
    database(&to).restore(&dump).unwrap();
    assert_all_votes_exist(&to).await;
}

/// The dump creates a table that already exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_the_original_app_restores_into_existing_tables() {
    let from = or_skip!(Storage::new(Backend::Servers).await);
    // Source: the worker of the original app, https://github.com/dockersamples/example-voting-app.
    from.execute(
        "CREATE TABLE IF NOT EXISTS votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL)",
    )
    .await;
    from.execute(
        "INSERT INTO votes SELECT 'v' || n, CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 900) AS n",
    )
    .await;
    let dump = database(&from).dump(&["--table=votes"]);

    let to = or_skip!(Storage::new(Backend::Servers).await);
    to.store().await;
    let message = database(&to).restore(&dump).unwrap_err();
    assert!(message.contains("\"votes\" already exists"), "{message}");
    assert_all_votes_exist(&to).await;

    let empty = or_skip!(Storage::new(Backend::Servers).await);
    database(&empty).restore(&dump).unwrap();
    empty.store().await;
    assert_all_votes_exist(&empty).await;
}

/// A restore of some tables with `--disable-triggers` leaves counts like these.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_counts_are_reported_and_recounted() {
    for kind in [Backend::Embedded, Backend::Servers] {
        let storage = or_skip!(Storage::new(kind).await);
        storage.store().await;
        for (id, vote, cast_ms) in [("x", "a", 20_000), ("y", "a", 20_000), ("z", "b", 30_000)] {
            let vote = format!(
                "INSERT INTO votes (id, poll, vote, cast_ms) VALUES ('{id}', '{POLL_ID}', '{vote}', {cast_ms})"
            );
            storage.execute(&vote).await;
        }
        let admin = |word: &str| {
            let variables = [
                ("QUEUE_URL", &*storage.queue_url),
                ("DATABASE_URL", &*storage.database_url),
            ];
            let output = output(command("worker", &variables).args(["admin", word]));
            let message = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(message).unwrap())
        };
        let (is_correct, message) = admin("check");
        assert!(is_correct, "{message}");
        storage
            .execute("UPDATE tally SET votes = 7 WHERE option = 'a'; DELETE FROM timeline")
            .await;
        let worker = start_ready("worker", &storage, &[]).await;
        worker
            .process
            .wait_for_line("the running counts differ from the votes");
        let metrics = get(&format!("{}/metrics", worker.url)).await;
        let metrics = metrics.text().await.unwrap();
        assert!(
            metrics.contains("\nworker_tally_difference_votes 5\n"),
            "{metrics}"
        );

        let (is_correct, message) = admin("check");
        assert!(
            !is_correct && message.contains("option a: 2 votes, counted as 7"),
            "{message}"
        );
        assert!(message.contains("timeline: 2 steps differ"), "{message}");
        let (is_done, message) = admin("recount");
        assert!(is_done && message.contains("recounted"), "{message}");
        let (is_correct, message) = admin("check");
        assert!(is_correct, "{message}");
        assert_counts_are_right(&storage).await;
    }
}

/// The database file alone, without the WAL files of SQLite.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_stop_the_database_file_has_all_votes() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let mut services = Vec::new();
    for name in ["vote", "worker", "result"] {
        services.push(start_ready(name, &storage, &[]).await);
    }
    for _ in 0..20 {
        Voter::new(&services[0].url).must_vote_for("a").await;
    }
    wait_until_empty(&storage).await;
    for service in &mut services {
        assert!(service.process.terminate().success());
    }
    assert_eq!(votes_in_a_copy(&storage, "voting.db").await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_embedded_database_is_complete() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    for _ in 0..20 {
        Voter::new(&vote.url).must_vote_for("b").await;
    }
    wait_for_votes(&result.url, &[0, 20]).await;
    let backup = |file: &str| {
        let variables = [
            ("QUEUE_URL", &*storage.queue_url),
            ("DATABASE_URL", &*storage.database_url),
        ];
        let mut command: Command = command("worker", &variables);
        command.args(["admin", "backup", file]);
        output(command.current_dir(storage.folder.path()))
    };
    let done = backup("copy.db");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(votes_in_a_copy(&storage, "copy.db").await, 20);
    let again = backup("copy.db");
    let message = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(message.contains("copy.db already exists"), "{message}");
    let files = fs::read_dir(storage.folder.path()).unwrap();
    let temporary_files = files.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".backup")
    });
    assert_eq!(temporary_files.count(), 0);
}

/// The number of votes in a copy of one file in a separate folder.
async fn votes_in_a_copy(storage: &Storage, name: &str) -> i64 {
    let copy = Storage::new(Backend::Embedded).await.unwrap();
    let from = storage.folder.path().join(name);
    fs::copy(from, copy.folder.path().join("voting.db")).unwrap();
    let counted = async || {
        copy.count_votes()
            .await
            .iter()
            .map(|(_, votes)| votes)
            .sum()
    };
    eventually("a readable copy", |_: &i64| true, counted).await
}
