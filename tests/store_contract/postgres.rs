//! Properties of the tables in Postgres.

use poll::ballot::VoterId;

use super::{apply, cast, connect, votes};
use crate::harness::{
    skip::or_skip,
    storage::{Backend, Storage},
    unique,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_vote_stays_on_its_page() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let store = storage.store().await;
    // These votes fill about ten pages.
    let voters: Vec<_> = (0..1000).map(|_| VoterId::random()).collect();
    let of = |voters: &[VoterId], choice, ms| -> Vec<_> {
        let cast = |voter: &VoterId| cast(*voter, choice, ms, 0);
        voters.iter().map(cast).collect()
    };
    apply(&store, &of(&voters, "a", 1)).await;
    let mut connection = connect(&storage).await;
    let mut pages = async || {
        sqlx::query_as::<_, (String, String)>(
            "SELECT id, split_part(ctid::text, ',', 1) FROM votes ORDER BY id",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap()
    };
    let before = pages().await;
    apply(&store, &of(&voters[..20], "b", 2)).await;
    assert_eq!(pages().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_role_can_use_migrated_tables() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.store().await;
    let role = unique("reader");
    let mut owner = connect(&storage).await;
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'"),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    let mut url = url::Url::parse(&storage.database_url).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    storage.database_url = url.into();

    let store = storage.store().await;
    assert_eq!(votes(&store).await, (0, 0));
    let rejected = store
        .upsert_ballots(&[cast(VoterId::random(), "a", 1, 0)], &[])
        .await
        .unwrap_err();
    assert!(
        rejected.to_string().contains("permission denied"),
        "{rejected}"
    );

    let remove = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(remove))
        .execute(&mut owner)
        .await
        .unwrap();
}
