//! Migrations of the tables.

use poll::ballot::VoterId;
use store::{ErrorClass, Store};

use super::{apply, assert_counts_are_right, cast, connect, votes};
use crate::harness::{
    skip::or_skip,
    storage::{Backend, Storage, on_both_storages, poll},
};

on_both_storages! {
    concurrent_migrations_succeed,
    a_store_of_a_newer_version_is_rejected,
    a_store_of_an_unreleased_version_is_rejected,
}

async fn concurrent_migrations_succeed(storage: Storage) {
    let services = (0..8).map(|_| {
        let config = storage.store_config();
        tokio::spawn(async move {
            let store = Store::open(&config).await.unwrap();
            store.migrate(&poll().id).await.unwrap();
            store.tally(&poll().id).await.unwrap();
        })
    });
    for service in services.collect::<Vec<_>>() {
        service.await.unwrap();
    }
}

async fn a_store_of_a_newer_version_is_rejected(storage: Storage) {
    storage.migrate_to_newer_version().await;
    let message = migration_error(&storage).await;
    assert!(
        message.contains("newer version") && message.contains("9999"),
        "{message}"
    );
}

async fn a_store_of_an_unreleased_version_is_rejected(storage: Storage) {
    storage.store().await;
    storage
        .execute(
            "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 2) WHERE version = 1;
             DELETE FROM _sqlx_migrations WHERE version = 6",
        )
        .await;
    let message = migration_error(&storage).await;
    assert!(message.contains("before its first release"), "{message}");
}

/// The error of opening or migrating this store.
async fn migration_error(storage: &Storage) -> String {
    match Store::open(&storage.store_config()).await {
        Err(error) => format!("{:#}", anyhow::Error::from(error)),
        Ok(store) => {
            let error = store.migrate(&poll().id).await.unwrap_err();
            assert_eq!(error.class, ErrorClass::Permanent);
            error.to_string()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_the_original_app_is_migrated_with_its_votes() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    // The table as the original worker creates it.
    storage
        .execute("CREATE TABLE votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL)")
        .await;
    let voter = VoterId::random();
    storage.execute("INSERT INTO votes SELECT md5(n::text), CASE WHEN n <= 20 THEN 'a' ELSE 'b' END FROM generate_series(1, 30) n").await;
    let store = storage.store().await;
    assert_eq!(votes(&store).await, (20, 10));
    // Votes of the original app can be changed: every new ballot is newer.
    let again = format!("UPDATE votes SET id = '{voter}' WHERE id = md5('1')");
    sqlx::query(sqlx::AssertSqlSafe(again))
        .execute(&mut connect(&storage).await)
        .await
        .unwrap();
    apply(&store, &[cast(voter, "b", 1, 0)]).await;
    assert_eq!(votes(&store).await, (19, 11));
    assert_counts_are_right(&storage).await;
}
