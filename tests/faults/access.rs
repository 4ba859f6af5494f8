//! Servers that reject the credentials of a service, or give it too few permissions.

use sqlx::{Connection, PgConnection};

use super::{SHORT_TIMEOUTS, assert_reports, wait_until_ready};
use crate::harness::{
    eventually,
    postgres::{self, PostgresServer},
    process::Service,
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
    tls::Certificate,
    unique,
    viewer::tally,
};

/// Starts these services and asserts that each reports these words.
async fn start_rejected(names: [&str; 2], storage: &Storage, words: &[&str]) -> [Service; 2] {
    let services = names.map(|name| Service::start(name, storage, &SHORT_TIMEOUTS));
    for service in &services {
        assert_reports(service, words).await;
    }
    services
}

async fn wait_until_all_ready(services: &[Service]) {
    for service in services {
        wait_until_ready(&service.url).await;
    }
}

/// Writes these rules to Postgres' `pg_hba.conf` and waits until they change whether `changes_for` can connect.
async fn set_hba_rules(superuser: &str, rules: &str, changes_for: &str) {
    let can_connect = async || PgConnection::connect(changes_for).await.is_ok();
    let before = can_connect().await;
    let mut connection = PgConnection::connect(superuser).await.unwrap();
    let file: String = sqlx::query_scalar("SHOW hba_file")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let rules = rules.replace('\n', "'), ('");
    let write = format!("COPY (VALUES ('{rules}')) TO '{file}'; SELECT pg_reload_conf()");
    sqlx::raw_sql(sqlx::AssertSqlSafe(write))
        .execute(&mut connection)
        .await
        .unwrap();
    eventually("the new rules", |now| *now != before, can_connect).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_postgres_that_requires_tls_and_recover() {
    let server = or_skip!(postgres::with_tls(&Certificate::new()));
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let [encrypted, plain] =
        ["require", "disable"].map(|mode| format!("{}?sslmode={mode}", server.url));
    let responds = async || PgConnection::connect(&encrypted).await.is_ok();
    eventually("a response", |responds| *responds, responds).await;
    set_hba_rules(&encrypted, "hostssl all all all trust", &plain).await;
    storage.database_url.clone_from(&plain);
    let words = ["sslmode", "DATABASE_URL"];
    let services = start_rejected(["worker", "result"], &storage, &words).await;
    set_hba_rules(&encrypted, "host all all all trust", &plain).await;
    wait_until_all_ready(&services).await;
}

/// Creates the role `known` with the password `right` and access to the tables. Returns its URL with a wrong password.
async fn create_known_user(server: &PostgresServer, storage: &mut Storage) -> String {
    server.url().clone_into(&mut storage.database_url);
    storage.store().await;
    storage
        .execute(
            "CREATE ROLE known LOGIN PASSWORD 'right';
             GRANT ALL ON ALL TABLES IN SCHEMA public TO known",
        )
        .await;
    let wrong = server.url().replace("postgres:postgres@", "known:wrong@");
    // If the server checks no passwords, enable the check.
    if PgConnection::connect(&wrong).await.is_ok() {
        let checking = "host all postgres all trust\nhost all all all scram-sha-256";
        set_hba_rules(server.url(), checking, &wrong).await;
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_wrong_postgres_password_and_recover() {
    let server = or_skip!(postgres::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let wrong = create_known_user(&server, &mut storage).await;
    storage.database_url = wrong;
    let words = ["user and password", "DATABASE_URL"];
    let services = start_rejected(["worker", "result"], &storage, &words).await;
    server.url().clone_into(&mut storage.database_url);
    storage.execute("ALTER ROLE known PASSWORD 'wrong'").await;
    wait_until_all_ready(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_redis_users_wrong_password_and_recover() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    redis.set_user("known", "on >right ~* &* +@all");
    storage.queue_url = redis.url_for("known", "wrong");
    let words = ["user and password", "QUEUE_URL"];
    let services = start_rejected(["vote", "worker"], &storage, &words).await;
    redis.set_user("known", ">wrong");
    wait_until_all_ready(&services).await;
}

/// An open connection stays open; the next one is rejected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_changed_redis_password() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    redis.set_user("known", "on >right ~* &* +@all");
    storage.queue_url = redis.url_for("known", "right");
    let services = ["vote", "worker"].map(|name| Service::start(name, &storage, &SHORT_TIMEOUTS));
    wait_until_all_ready(&services).await;
    redis.set_user("known", "resetpass >other");
    redis.disconnect("known");
    for service in &services {
        assert_reports(service, &["user and password", "QUEUE_URL"]).await;
    }
    redis.set_user("known", ">right");
    wait_until_all_ready(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_changed_postgres_password() {
    let server = or_skip!(postgres::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let wrong = create_known_user(&server, &mut storage).await;
    storage.database_url = wrong.replace("wrong", "right");
    let services = ["worker", "result"].map(|name| Service::start(name, &storage, &SHORT_TIMEOUTS));
    wait_until_all_ready(&services).await;
    server.url().clone_into(&mut storage.database_url);
    storage
        .execute(
            "ALTER ROLE known PASSWORD 'other';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'known'",
        )
        .await;
    let [worker, result] = &services;
    assert_reports(worker, &["user and password", "DATABASE_URL"]).await;
    // Viewers get the last result, marked as stale.
    let stale = async || tally(&result.url).await["stale"] == true;
    eventually("a stale result", |stale| *stale, stale).await;
    storage.execute("ALTER ROLE known PASSWORD 'right'").await;
    wait_until_all_ready(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_missing_redis_permission_and_recover() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let permissions = [
        ("vote", "xadd"),
        // Before any worker has loaded the scripts.
        ("worker", "script|load"),
        ("worker", "evalsha"),
        ("worker", "xautoclaim"),
        ("worker", "xreadgroup"),
        ("worker", "xack"),
        ("worker", "xpending"),
        ("worker", "xtrim"),
    ];
    for (name, command) in permissions {
        let user = command.replace('|', "-");
        redis.set_user(&user, &format!("on >secret ~* &* +@all -{command}"));
        storage.queue_url = redis.url_for(&user, "secret");
        // A stream for which no other worker has created the group.
        storage.stream = unique("ballots");
        let service = Service::start(name, &storage, &SHORT_TIMEOUTS);
        let reason = format!("'{command}' command");
        assert_reports(&service, &[&reason, "lacks permissions", "QUEUE_URL"]).await;
        redis.set_user(&user, &format!("+{command}"));
        wait_until_ready(&service.url).await;
    }
}
