//! Error messages for servers that cannot be used. Each names the server, the cause and the setting.
//!
//! | cause | message contains |
//! |---|---|
//! | nothing listens | `nothing listens there` |
//! | unknown host | `there is no host of that name` |
//! | another kind of server | `no connection within`, or `does not speak Postgres' protocol` |
//! | connection limit reached | `too many connections`, and `STORE_MAX_CONNECTIONS`; `max number of clients`, and `maxclients` |
//! | shutting down | the message of Postgres |
//! | certificate not trusted | `is not trusted`, and `sslrootcert` or `SSL_CERT_FILE` |
//! | CA file missing | its name, at startup |
//! | TLS required, but not supported by the server | `sslmode` |
//! | client certificate required | `tls-auth-clients` |
//! | protected mode | `requirepass` |
//! | no such database | `database "…" does not exist` |
//! | wrong encoding | `must be UTF8` |
//! | wrong password, missing rights | tests in `faults::start` and `faults::access` |

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use store::{Store, StoreConfig};

use crate::harness::{
    eventually, free_port, postgres,
    process::{Service, command, output},
    redis,
    server::Server,
    skip::or_skip,
    storage::{Backend, Storage, poll},
    tls::Certificate,
    unique,
    viewer::get_json,
};

/// The error of a migration of this store, which must fail.
async fn migration_error(url: &str) -> String {
    migration_error_within(Duration::from_secs(20), url).await
}

/// The same with another timeout, for a server that never responds.
async fn migration_error_within(timeout: Duration, url: &str) -> String {
    let config = StoreConfig {
        url: url.parse().expect("a valid URL"),
        timeout,
        max_connections: 3,
    };
    let store = Store::open(&config)
        .await
        .expect("the store connects on first use");
    store
        .migrate(&poll().id)
        .await
        .expect_err("the migration fails")
        .to_string()
}

fn assert_contains(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message:?}");
    }
    assert!(
        !message.contains("postgres:postgres"),
        "a secret is printed: {message}"
    );
}

#[tokio::test]
async fn an_unreachable_postgres_is_reported() {
    let port = free_port();
    let message = migration_error(&format!("postgres://u:hidden@127.0.0.1:{port}/votes")).await;
    let server = format!("Postgres at 127.0.0.1:{port}, database votes (DATABASE_URL): ");
    assert_contains(&message, &[&server, "nothing listens there"]);
    assert!(!message.contains("hidden"), "{message}");
    let message = migration_error("postgres://u@nowhere.invalid/votes").await;
    assert_contains(
        &message,
        &["nowhere.invalid", "there is no host of that name"],
    );
}

#[tokio::test]
async fn a_server_other_than_postgres_is_reported() {
    // Redis does not respond, because it waits for the end of a line.
    let redis = or_skip!(redis::shared());
    let url = redis.url.replace("redis://", "postgres://u@") + "/votes";
    assert_contains(
        &migration_error_within(Duration::from_secs(1), &url).await,
        &["the port is not that of Postgres"],
    );
    // An HTTP server responds with an error.
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let vote = Service::start("vote", &storage, &[]);
    let url = vote.url.replace("http://", "postgres://u@") + "/votes";
    assert_contains(
        &migration_error(&url).await,
        &["does not speak Postgres' protocol"],
    );
}

#[tokio::test]
async fn a_postgres_without_free_connections_is_reported() {
    let postgres = or_skip!(postgres::shared());
    let role = unique("limited");
    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'postgres' CONNECTION LIMIT 0");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .unwrap();
    let url = postgres
        .url()
        .replace("postgres:postgres@", &format!("{role}:postgres@"));
    let words = ["too many connections for role", "STORE_MAX_CONNECTIONS"];
    assert_contains(&migration_error(&url).await, &words);
}

#[tokio::test]
async fn a_missing_database_and_a_wrong_encoding_are_reported() {
    let postgres = or_skip!(postgres::shared());
    let name = unique("other");
    let url = format!("{}/{name}", postgres.url().rsplit_once('/').unwrap().0);
    let missing = format!("database \"{name}\" does not exist");
    let words = [&*missing, "must name a database that exists"];
    assert_contains(&migration_error(&url).await, &words);

    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    let create = format!(
        "CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .unwrap();
    assert_contains(
        &migration_error(&url).await,
        &["has the encoding LATIN1", "must be UTF8"],
    );
}

#[tokio::test]
async fn tls_errors_of_postgres_are_reported() {
    let plain = or_skip!(postgres::shared());
    let message = migration_error(&format!("{}?sslmode=require", plain.url())).await;
    assert_contains(&message, &["sslmode in DATABASE_URL"]);

    let certificate = Certificate::new();
    let secured = or_skip!(postgres::with_tls(&certificate));
    let url = format!("{}?sslmode=verify-full", secured.url);
    let message = eventually(
        "a server that responds",
        |message: &String| message.contains("certificate"),
        async || migration_error(&url).await,
    )
    .await;
    assert_contains(&message, &["is not trusted", "sslrootcert=FILE"]);
    let other = Certificate::new();
    let folder = tempfile::tempdir().unwrap();
    other.write(folder.path(), None).unwrap();
    let file = folder.path().join("cert.pem").display().to_string();
    // As in libpq, sslmode=require verifies the certificate when a CA file is given.
    let message = migration_error(&format!(
        "{}?sslmode=require&sslrootcert={file}",
        secured.url
    ))
    .await;
    assert_contains(&message, &["is not trusted"]);
}

/// Waits until the readiness probe of `vote` reports these words for this queue.
async fn until_probe_reports(queue_url: &str, variables: &[(&str, &str)], words: &[&str]) {
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url = queue_url.to_owned();
    let vote = Service::start("vote", &storage, variables);
    let message = async || {
        let (_, ready) = get_json(&format!("{}/ready", vote.url)).await;
        ready["checks"]["queue"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let has_all = |message: &String| words.iter().all(|word| message.contains(word));
    let message = eventually(&format!("{words:?}"), has_all, message).await;
    assert!(
        message.contains("(QUEUE_URL): ") && !message.contains("hidden"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_redis_is_reported() {
    let port = free_port();
    let url = format!("redis://:hidden@127.0.0.1:{port}");
    let server = format!("Redis at 127.0.0.1:{port} (QUEUE_URL)");
    until_probe_reports(&url, &[], &[&server, "nothing listens there"]).await;
    let words = ["nowhere.invalid", "there is no host of that name"];
    until_probe_reports("redis://nowhere.invalid", &[], &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_at_maxclients_is_reported() {
    let redis = or_skip!(redis::dedicated());
    let _connected = [redis.connect(), redis.connect()];
    redis.set("maxclients", "2");
    until_probe_reports(
        &redis.url,
        &[],
        &["max number of clients", "raise maxclients"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_errors_of_redis_are_reported() {
    let certificate = Certificate::new();
    let redis = or_skip!(redis::with_tls(&certificate, "alice", "hidden"));
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path(), None).unwrap();
    let file = folder.path().join("cert.pem").display().to_string();
    until_probe_reports(&redis.url, &[], &["is not trusted", "SSL_CERT_FILE"]).await;
    let missing = [
        ("SSL_CERT_FILE", "/nowhere.pem"),
        ("QUEUE_URL", &*redis.url),
    ];
    let ended = output(&mut command("vote", &missing));
    let message = String::from_utf8(ended.stderr).unwrap();
    assert_contains(
        &message,
        &["SSL_CERT_FILE: the file /nowhere.pem cannot be read"],
    );
    let mutual = or_skip!(redis::with_mutual_tls(&certificate, "alice", "hidden"));
    let trusted = [("SSL_CERT_FILE", &*file)];
    until_probe_reports(&mutual.url, &trusted, &["tls-auth-clients"]).await;
}

/// Protected mode accepts only local clients. A client outside the container is not local.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protected_mode_of_redis_is_reported() {
    let redis = or_skip!(redis::dedicated());
    if !matches!(redis.server, Server::Container { .. }) {
        return crate::harness::skip::skip("this test needs a Redis in a container");
    }
    redis.set("protected-mode", "yes");
    until_probe_reports(&redis.url, &[], &["protected mode", "requirepass"]).await;
}
