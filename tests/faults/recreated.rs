//! Databases, tables, keys and files that are removed or replaced while services run.

use reqwest::StatusCode;
use sqlx::{Connection, PgConnection};

use super::{assert_no_vote_lost_or_duplicated, start_ready, wait_until_ready, wait_until_unready};
use crate::harness::{
    client_pool::ClientPool,
    eventually, redis,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::{get_json, tally, wait_for_votes},
    voter::Voter,
};

/// The worker recreates the tables, and votes are accepted all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_database_is_migrated_again() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;

    let database = storage.database.as_ref().unwrap();
    let admin_url = database.admin_url();
    let admin = async |statement: String| {
        let mut connection = PgConnection::connect(&admin_url).await.unwrap();
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        statement.execute(&mut connection).await.unwrap();
    };
    admin(format!("DROP DATABASE {} WITH (FORCE)", database.name())).await;
    let missing = format!("database \"{}\" does not exist", database.name());
    wait_until_unready(&worker, &[&missing.replace('"', "\\\""), "DATABASE_URL"]).await;
    Voter::new(&vote.url).must_vote_for("b").await;

    admin(format!("CREATE DATABASE {}", database.name())).await;
    wait_until_ready(&worker.url).await;
    wait_for_votes(&result.url, &[0, 1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_tables_are_recreated() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let clients = ClientPool::start(&vote.url, 4);
    clients.wait_for_accepted(20).await;
    storage
        .execute(
            "DROP TABLE votes, tally, tally_lock, timeline, dead_letters, polls, progress, _sqlx_migrations;
             DROP FUNCTION only_counted, count_inserted_votes, count_updated_votes, count_deleted_votes, count_no_votes",
        )
        .await;
    clients.wait_for_accepted(200).await;
    wait_until_ready(&worker.url).await;
    clients.stop().await;
    let total = async || tally(&result.url).await["total"].as_u64().unwrap_or(0);
    eventually("votes after the recreation", |total| *total > 0, total).await;
}

/// Every vote would be rejected, so load balancers should send none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_another_type_makes_vote_and_worker_unready() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let redis = or_skip!(redis::shared());
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let clients = ClientPool::start(&vote.url, 2);
    clients.wait_for_accepted(10).await;
    // Overwriting a stream deletes its entries, so it must be empty, and no vote may arrive in between.
    let counts = clients.stop().await;
    super::wait_until_empty(&storage).await;
    let command = |name: &str, words: &[&str]| {
        let mut command = ::redis::cmd(name);
        command.arg(&storage.stream).arg(words);
        redis.exec(&command).unwrap();
    };
    command("SET", &["x"]);
    for service in [&vote, &worker] {
        wait_until_unready(service, &["WRONGTYPE", "QUEUE_STREAM"]).await;
    }
    let clients = ClientPool::start_with_counts(&vote.url, 2, counts);
    clients.wait_for_rejected(10).await;
    command("DEL", &[]);
    for service in [&vote, &worker] {
        wait_until_ready(&service.url).await;
    }
    clients.wait_for_accepted(10).await;
    let counts = clients.stop().await;
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_are_rejected_after_the_database_file_is_removed() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    super::wait_until_empty(&storage).await;
    let moved = storage.folder.path().join("moved");
    let file = storage.folder.path().join("voting.db");
    std::fs::rename(&file, &moved).unwrap();
    for service in [&vote, &worker] {
        let (status, _) = get_json(&format!("{}/ready", service.url)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "at once");
    }
    let rejected = voter.vote_for("b").await;
    assert_eq!(rejected.status, StatusCode::SERVICE_UNAVAILABLE);
    for service in [&vote, &worker] {
        wait_until_unready(service, &["voting.db was removed or replaced"]).await;
    }
    std::fs::rename(&moved, &file).unwrap();
    for service in [&vote, &worker] {
        wait_until_ready(&service.url).await;
    }
    voter.must_vote_for("b").await;
    super::wait_until_empty(&storage).await;
    assert_eq!(storage.count_votes().await, [("b".to_owned(), 1)]);
}

/// For example, by an open `sqlite3` shell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_locked_by_another_process_makes_a_service_unready() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let vote = start_ready("vote", &storage, &[]).await;
    let mut shell = sqlx::SqliteConnection::connect(&storage.database_url)
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut shell)
        .await
        .unwrap();
    wait_until_unready(&vote, &["locked"]).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut shell).await.unwrap();
    wait_until_ready(&vote.url).await;
    Voter::new(&vote.url).must_vote_for("a").await;
}
