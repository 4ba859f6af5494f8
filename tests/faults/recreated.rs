//! Databases, tables, keys and files that are removed or replaced while services run.

use reqwest::StatusCode;
use sqlx::{Connection, PgConnection};

use super::{assert_nothing_is_lost_or_doubled, start_ready, until_ready, until_unready_because};
use crate::harness::{
    crowd::Crowd,
    eventually, redis,
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::{get_json, tally, until_votes},
    voter::Voter,
};

/// The worker recreates the tables, and votes are accepted all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_database_is_migrated_again() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    until_votes(&result.url, &[1, 0]).await;

    let database = storage.database.as_ref().unwrap();
    let admin_url = database.admin_url();
    let admin = async |statement: String| {
        let mut connection = PgConnection::connect(&admin_url).await.unwrap();
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    };
    admin(format!("DROP DATABASE {} WITH (FORCE)", database.name())).await;
    let missing = format!("database \"{}\" does not exist", database.name());
    until_unready_because(&worker, &[&missing.replace('"', "\\\""), "DATABASE_URL"]).await;
    Voter::new(&vote.url).must_vote_for("b").await;

    admin(format!("CREATE DATABASE {}", database.name())).await;
    until_ready(&worker.url).await;
    until_votes(&result.url, &[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_tables_are_recreated() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let crowd = Crowd::gather(&vote.url, 4);
    crowd.accepts(20).await;
    storage
        .execute(
            "DROP TABLE votes, tally, tally_lock, timeline, dead_letters, progress, _sqlx_migrations;
             DROP FUNCTION only_counted, count_inserted_votes, count_updated_votes, count_deleted_votes, count_no_votes",
        )
        .await;
    crowd.accepts(200).await;
    until_ready(&worker.url).await;
    crowd.go_home().await;
    let total = async || tally(&result.url).await["total"].as_u64().unwrap_or(0);
    eventually("votes after the recreation", |total| *total > 0, total).await;
}

/// Every vote would be rejected, so load balancers should send none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_type_makes_vote_and_worker_unready() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let redis = or_skip!(redis::shared());
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let crowd = Crowd::gather(&vote.url, 2);
    crowd.accepts(10).await;
    // Overwriting a stream deletes its entries, so it must be empty, and no vote may arrive in between.
    let counts = crowd.go_home().await;
    super::until_empty(&storage).await;
    let command = |name: &str, words: &[&str]| {
        let mut command = ::redis::cmd(name);
        command.arg(&storage.stream).arg(words);
        redis.exec(&command).unwrap();
    };
    command("SET", &["x"]);
    for service in [&vote, &worker] {
        until_unready_because(service, &["WRONGTYPE", "QUEUE_STREAM"]).await;
    }
    let crowd = Crowd::gather_again(&vote.url, 2, counts);
    crowd.is_refused(10).await;
    command("DEL", &[]);
    for service in [&vote, &worker] {
        until_ready(&service.url).await;
    }
    crowd.accepts(10).await;
    let counts = crowd.go_home().await;
    assert_nothing_is_lost_or_doubled(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_are_rejected_after_the_database_file_is_removed() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    super::until_empty(&storage).await;
    let moved = storage.folder.path().join("moved");
    let file = storage.folder.path().join("voting.db");
    std::fs::rename(&file, &moved).unwrap();
    for service in [&vote, &worker] {
        let (status, _) = get_json(&format!("{}/ready", service.url)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "at once");
    }
    let refused = voter.vote_for("b").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    for service in [&vote, &worker] {
        until_unready_because(service, &["voting.db was removed or replaced"]).await;
    }
    std::fs::rename(&moved, &file).unwrap();
    for service in [&vote, &worker] {
        until_ready(&service.url).await;
    }
    voter.must_vote_for("b").await;
    super::until_empty(&storage).await;
    assert_eq!(storage.counted().await, [("b".to_owned(), 1)]);
}

/// For example, by an open `sqlite3` shell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_locked_by_another_process_makes_a_service_unready() {
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    let mut shell = sqlx::SqliteConnection::connect(&storage.database_url)
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut shell)
        .await
        .unwrap();
    until_unready_because(&vote, &["locked"]).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut shell).await.unwrap();
    until_ready(&vote.url).await;
    Voter::new(&vote.url).must_vote_for("a").await;
}
