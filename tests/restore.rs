//! Backups, restored with the programs that operators have.

use std::{fs, process::Command};

use crate::{
    faults::{start_ready, until_empty},
    harness::{
        eventually,
        postgres::Database,
        process::{command, output},
        skip::or_skip,
        storage::{Kind, Storage},
        viewer::{get, until_votes},
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

const VOTES: &str = "INSERT INTO votes (id, vote, cast_ms, cast_seq)
    SELECT 'v' || n, CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END, 1000000000000 + n * 1000, n FROM generate_series(1, 900) AS n";

/// A database with 900 votes, and another one, which is empty.
async fn two_databases() -> Result<(Storage, Storage), String> {
    let from = Storage::new(Kind::Servers).await?;
    from.store().await;
    from.execute(VOTES).await;
    Ok((from, Storage::new(Kind::Servers).await?))
}

fn database(storage: &Storage) -> &Database {
    storage.database.as_ref().expect("it is a server's")
}

async fn assert_all_are_there(storage: &Storage) {
    assert_eq!(
        storage.counted().await,
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
    assert_all_are_there(&to).await;
}

/// Both a dump of the data and the tables it goes into have counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_only_dump_restores_into_existing_tables() {
    let (from, to) = or_skip!(two_databases().await);
    to.store().await;
    let dump = database(&from).dump(&["--data-only", "--exclude-table=_sqlx_migrations"]);
    database(&to).restore(&dump).unwrap();
    assert_all_are_there(&to).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_votes_only_dump_restores_into_existing_tables() {
    let (from, to) = or_skip!(two_databases().await);
    to.store().await;
    let dump = database(&from).dump(&["--data-only", "--table=votes"]);
    database(&to).restore(&dump).unwrap();
    assert_all_are_there(&to).await;
}

/// Its own table is there already, which the dump does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_the_original_app_restores_into_existing_tables() {
    let from = or_skip!(Storage::new(Kind::Servers).await);
    // Source: the original's worker, https://github.com/dockersamples/example-voting-app.
    from.execute(
        "CREATE TABLE IF NOT EXISTS votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL)",
    )
    .await;
    from.execute(
        "INSERT INTO votes SELECT 'v' || n, CASE WHEN n % 3 = 0 THEN 'a' ELSE 'b' END FROM generate_series(1, 900) AS n",
    )
    .await;
    let dump = database(&from).dump(&["--table=votes"]);

    let to = or_skip!(Storage::new(Kind::Servers).await);
    to.store().await;
    let said = database(&to).restore(&dump).unwrap_err();
    assert!(said.contains("\"votes\" already exists"), "{said}");
    assert_all_are_there(&to).await;

    let empty = or_skip!(Storage::new(Kind::Servers).await);
    database(&empty).restore(&dump).unwrap();
    empty.store().await;
    assert_all_are_there(&empty).await;
}

/// As after a restore with `--disable-triggers` of half the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_counts_are_reported_and_recounted() {
    for kind in [Kind::Embedded, Kind::Servers] {
        let storage = or_skip!(Storage::new(kind).await);
        storage.store().await;
        let three = "INSERT INTO votes (id, vote, cast_ms) VALUES ('x', 'a', 20000), ('y', 'a', 20000), ('z', 'b', 30000)";
        storage.execute(three).await;
        let admin = |word: &str| {
            let variables = [
                ("QUEUE_URL", &*storage.queue_url),
                ("DATABASE_URL", &*storage.database_url),
            ];
            let output = output(command("worker", &variables).args(["admin", word]));
            let said = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8(said).unwrap())
        };
        let (is_right, said) = admin("check");
        assert!(is_right, "{said}");
        storage
            .execute("UPDATE tally SET votes = 7 WHERE option = 'a'; DELETE FROM timeline")
            .await;
        let worker = start_ready("worker", &storage, &[]).await;
        worker
            .process
            .line_with("the running counts differ from the votes");
        let metrics = get(&format!("{}/metrics", worker.url)).await;
        let metrics = metrics.text().await.unwrap();
        assert!(
            metrics.contains("\nworker_tally_difference_votes 5\n"),
            "{metrics}"
        );

        let (is_right, said) = admin("check");
        assert!(
            !is_right && said.contains("option a: 2 votes, counted as 7"),
            "{said}"
        );
        assert!(said.contains("timeline: 2 steps differ"), "{said}");
        let (is_done, said) = admin("recount");
        assert!(is_done && said.contains("counted anew"), "{said}");
        let (is_right, said) = admin("check");
        assert!(is_right, "{said}");
        assert_counts_are_right(&storage).await;
    }
}

/// The file alone, without what SQLite keeps beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_clean_stop_the_database_file_has_all_votes() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let mut services = Vec::new();
    for name in ["vote", "worker", "result"] {
        services.push(start_ready(name, &storage, &[]).await);
    }
    for _ in 0..20 {
        Voter::new(&services[0].url).must_vote_for("a").await;
    }
    until_empty(&storage).await;
    for service in &mut services {
        assert!(service.process.terminate().success());
    }
    assert_eq!(votes_in_a_copy(&storage, "voting.db").await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_embedded_database_is_complete() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    for _ in 0..20 {
        Voter::new(&vote.url).must_vote_for("b").await;
    }
    until_votes(&result.url, &[0, 20]).await;
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
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("copy.db exists already"), "{said}");
    let rest = fs::read_dir(storage.folder.path()).unwrap();
    let drafts = rest.filter(|file| {
        let name = file.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".backup")
    });
    assert_eq!(drafts.count(), 0);
}

/// The votes that are counted from a copy of one file in a folder of its own.
async fn votes_in_a_copy(storage: &Storage, name: &str) -> i64 {
    let copy = Storage::new(Kind::Embedded).await.unwrap();
    let from = storage.folder.path().join(name);
    fs::copy(from, copy.folder.path().join("voting.db")).unwrap();
    let counted = async || copy.counted().await.iter().map(|(_, votes)| votes).sum();
    eventually("a copy that can be read", |_: &i64| true, counted).await
}
