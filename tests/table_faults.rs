//! Changes of the table of votes by others. The ballots are valid, so they wait and do not become dead letters.

use reqwest::StatusCode;

use crate::{
    faults::{start_ready, wait_until_ready, wait_until_unready},
    harness::{
        process::Service,
        skip::or_skip,
        storage::{Backend, Storage},
        viewer::{get, wait_for_votes},
        voter::Voter,
    },
};

/// Checks that ballots rejected by the table wait, that the worker is unready with this reason, and that all ballots are
/// stored after the fix.
async fn assert_ballots_wait(cause: &str, fix: &str, word: &str) {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    storage.execute(cause).await;
    for _ in 0..3 {
        Voter::new(&vote.url).must_vote_for("a").await;
    }
    let words = ["the table votes rejects every ballot like this one", word];
    wait_until_unready(&worker, &words).await;
    assert_no_dead_letters(&storage).await;
    storage.execute(fix).await;
    wait_until_ready(&worker.url).await;
    wait_for_votes(&result.url, &[3, 0]).await;
    assert_no_dead_letters(&storage).await;
}

async fn assert_no_dead_letters(storage: &Storage) {
    assert!(
        storage
            .store()
            .await
            .dead_letters()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_column_without_a_default_delays_ballots() {
    assert_ballots_wait(
        "ALTER TABLE votes ADD COLUMN reviewed boolean NOT NULL",
        "ALTER TABLE votes DROP COLUMN reviewed",
        "reviewed",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_constraint_delays_ballots() {
    assert_ballots_wait(
        "ALTER TABLE votes ADD CONSTRAINT no_cats CHECK (vote <> 'a')",
        "ALTER TABLE votes DROP CONSTRAINT no_cats",
        "no_cats",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_raises_a_violation_delays_ballots() {
    assert_ballots_wait(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'not on Sundays' USING ERRCODE = 'check_violation'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON votes FOR EACH ROW EXECUTE FUNCTION refuse()",
        "DROP TRIGGER refuse ON votes",
        "not on Sundays",
    )
    .await;
}

/// Checks that an existing table that cannot be migrated makes services unready, and that it is migrated after the fix.
async fn assert_migrated_after_fix(table: &str, word: &str, fix: &str, votes: [u64; 2]) {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.execute(table).await;
    let services = ["worker", "result"].map(|name| Service::start(name, &storage, &[]));
    for service in &services {
        wait_until_unready(service, &[word, "DATABASE_URL"]).await;
    }
    storage.execute(fix).await;
    for service in &services {
        wait_until_ready(&service.url).await;
    }
    wait_for_votes(&services[1].url, &votes).await;
    let health = get(&format!("{}/health", services[0].url)).await;
    assert_eq!(health.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_without_a_vote_are_reported() {
    assert_migrated_after_fix(
        "CREATE TABLE votes (id varchar(255), vote varchar(255)); INSERT INTO votes VALUES ('v1', NULL), ('v2', 'a')",
        "('v1', NULL)",
        "DELETE FROM votes WHERE vote IS NULL",
        [1, 0],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicate_ids_are_reported() {
    assert_migrated_after_fix(
        "CREATE TABLE votes (id varchar(255), vote varchar(255)); INSERT INTO votes VALUES ('v1', 'a'), ('v1', 'b')",
        "'v1' (2 rows)",
        "DELETE FROM votes WHERE vote = 'a'",
        [0, 1],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_of_another_type_are_reported() {
    assert_migrated_after_fix(
        "CREATE TABLE votes (id integer, vote varchar(10))",
        "id is integer, vote is character varying(10)",
        "DROP TABLE votes",
        [0, 0],
    )
    .await;
}

/// Every role of the database can hold any advisory lock for any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_advisory_lock_delays_no_vote() {
    use sqlx::Connection;

    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let mut lock_holder = sqlx::PgConnection::connect(&storage.database_url)
        .await
        .unwrap();
    let lock = sqlx::query("SELECT pg_advisory_lock(hashtext('tally'))");
    lock.execute(&mut lock_holder).await.unwrap();
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;
    drop(lock_holder);
}
