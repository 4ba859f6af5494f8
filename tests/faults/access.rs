//! Servers that know who comes and do not let them in, or not to all they need, when services start.

use sqlx::{Connection, PgConnection};

use super::{PROMPT, assert_it_says, until_ready};
use crate::harness::{
    eventually,
    postgres::{self, PostgresServer},
    process::Service,
    redis,
    skip::or_skip,
    storage::{Kind, Storage},
    tls::Certificate,
    unique,
    viewer::tally,
};

/// Starts these, each of which says these words.
async fn start_refused(names: [&str; 2], storage: &Storage, words: &[&str]) -> [Service; 2] {
    let services = names.map(|name| Service::start(name, storage, &PROMPT));
    for service in &services {
        assert_it_says(service, words).await;
    }
    services
}

async fn until_all_are_ready(services: &[Service]) {
    for service in services {
        until_ready(&service.url).await;
    }
}

/// Has Postgres let in whom these lines of its `pg_hba.conf` say, and waits until it does so.
async fn let_in(superuser: &str, rules: &str, changes_for: &str) {
    let got_in = async || PgConnection::connect(changes_for).await.is_ok();
    let before = got_in().await;
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
    eventually("the new rules", |now| *now != before, got_in).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_takes_only_tls_is_said_and_may_be_mended_there() {
    let server = or_skip!(postgres::secured(&Certificate::new()));
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let [encrypted, plain] =
        ["require", "disable"].map(|mode| format!("{}?sslmode={mode}", server.url));
    let answers = async || PgConnection::connect(&encrypted).await.is_ok();
    eventually("an answer", |answers| *answers, answers).await;
    let_in(&encrypted, "hostssl all all all trust", &plain).await;
    storage.database_url.clone_from(&plain);
    let words = ["sslmode", "DATABASE_URL"];
    let services = start_refused(["worker", "result"], &storage, &words).await;
    let_in(&encrypted, "host all all all trust", &plain).await;
    until_all_are_ready(&services).await;
}

/// Makes the role `known`, whose password is `right`, in a server with the tables. Returns its URL with a wrong password.
async fn make_known_user(server: &PostgresServer, storage: &mut Storage) -> String {
    server.url().clone_into(&mut storage.database_url);
    storage.store().await;
    storage
        .execute(
            "CREATE ROLE known LOGIN PASSWORD 'right';
             GRANT ALL ON ALL TABLES IN SCHEMA public TO known",
        )
        .await;
    let wrong = server.url().replace("postgres:postgres@", "known:wrong@");
    // Where no password is looked at, none is wrong.
    if PgConnection::connect(&wrong).await.is_ok() {
        let checking = "host all postgres all trust\nhost all all all scram-sha-256";
        let_in(server.url(), checking, &wrong).await;
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_of_postgres_is_said_and_may_be_mended_there() {
    let server = or_skip!(postgres::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let wrong = make_known_user(&server, &mut storage).await;
    storage.database_url = wrong;
    let words = ["user and password", "DATABASE_URL"];
    let services = start_refused(["worker", "result"], &storage, &words).await;
    server.url().clone_into(&mut storage.database_url);
    storage.execute("ALTER ROLE known PASSWORD 'wrong'").await;
    until_all_are_ready(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_users_wrong_password_of_redis_is_said_and_may_be_mended_there() {
    let redis = or_skip!(redis::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    redis.set_user("known", "on >right ~* &* +@all");
    storage.queue_url = redis.url_for("known", "wrong");
    let words = ["user and password", "QUEUE_URL"];
    let services = start_refused(["vote", "worker"], &storage, &words).await;
    redis.set_user("known", ">wrong");
    until_all_are_ready(&services).await;
}

/// A connection that is open stays open; the next one is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_in_redis_is_said() {
    let redis = or_skip!(redis::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    redis.set_user("known", "on >right ~* &* +@all");
    storage.queue_url = redis.url_for("known", "right");
    let services = ["vote", "worker"].map(|name| Service::start(name, &storage, &PROMPT));
    until_all_are_ready(&services).await;
    redis.set_user("known", "resetpass >other");
    redis.disconnect("known");
    for service in &services {
        assert_it_says(service, &["user and password", "QUEUE_URL"]).await;
    }
    redis.set_user("known", ">right");
    until_all_are_ready(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_changed_in_postgres_is_said() {
    let server = or_skip!(postgres::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let wrong = make_known_user(&server, &mut storage).await;
    storage.database_url = wrong.replace("wrong", "right");
    let services = ["worker", "result"].map(|name| Service::start(name, &storage, &PROMPT));
    until_all_are_ready(&services).await;
    server.url().clone_into(&mut storage.database_url);
    storage
        .execute(
            "ALTER ROLE known PASSWORD 'other';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'known'",
        )
        .await;
    let [worker, result] = &services;
    assert_it_says(worker, &["user and password", "DATABASE_URL"]).await;
    // Viewers are shown the last result, and told that it is one of before.
    let stale = async || tally(&result.url).await["stale"] == true;
    eventually("a stale result", |stale| *stale, stale).await;
    storage.execute("ALTER ROLE known PASSWORD 'right'").await;
    until_all_are_ready(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_in_redis_is_said_and_may_be_given_there() {
    let redis = or_skip!(redis::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    let needs = [
        ("vote", "xadd"),
        // Before any worker has given the server its scripts.
        ("worker", "script|load"),
        ("worker", "evalsha"),
        ("worker", "xautoclaim"),
        ("worker", "xreadgroup"),
        ("worker", "xack"),
        ("worker", "xpending"),
        ("worker", "xtrim"),
    ];
    for (name, command) in needs {
        let user = command.replace('|', "-");
        redis.set_user(&user, &format!("on >secret ~* &* +@all -{command}"));
        storage.queue_url = redis.url_for(&user, "secret");
        // Where no other worker has made the group.
        storage.stream = unique("ballots");
        let service = Service::start(name, &storage, &PROMPT);
        let said = format!("'{command}' command");
        assert_it_says(&service, &[&said, "lacks permissions", "QUEUE_URL"]).await;
        redis.set_user(&user, &format!("+{command}"));
        until_ready(&service.url).await;
    }
}
