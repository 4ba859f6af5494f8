//! What is said where a server cannot be used: a line for each cause, which names the server, what is wrong, and the setting.
//!
//! | cause | words |
//! |---|---|
//! | nothing listens | `nothing listens there` |
//! | unknown host | `there is no host of that name` |
//! | another server | `no connection within`, or `does not speak Postgres' protocol` |
//! | no more connections | `too many connections`, and `STORE_MAX_CONNECTIONS`; `max number of clients`, and `maxclients` |
//! | shutting down | Postgres' own words |
//! | certificate not trusted | `is not trusted`, and `sslrootcert` or `SSL_CERT_FILE` |
//! | file of authorities missing | its name, when the settings are read |
//! | TLS demanded of a server without | `sslmode` |
//! | client certificate demanded | `tls-auth-clients` |
//! | protected mode | `requirepass` |
//! | no such database | `database "…" does not exist` |
//! | another encoding | `must be UTF8` |
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
    storage::{Kind, Storage},
    tls::Certificate,
    unique,
    viewer::get_json,
};

/// What preparing the tables of this store complains of.
async fn complaint_of_store(url: &str) -> String {
    let config = StoreConfig {
        url: url.parse().expect("it is a URL"),
        timeout: Duration::from_secs(20),
        max_connections: 3,
    };
    let store = Store::open(&config).await.expect("it is opened later");
    store
        .prepare()
        .await
        .expect_err("it cannot be used")
        .to_string()
}

fn assert_has(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said:?}");
    }
    assert!(!said.contains("postgres:postgres"), "no secrets: {said}");
}

#[tokio::test]
async fn a_postgres_that_cannot_be_reached() {
    let port = free_port();
    let said = complaint_of_store(&format!("postgres://u:hidden@127.0.0.1:{port}/votes")).await;
    let place = format!("Postgres at 127.0.0.1:{port}, database votes (DATABASE_URL): ");
    assert_has(&said, &[&place, "nothing listens there"]);
    assert!(!said.contains("hidden"), "{said}");
    let said = complaint_of_store("postgres://u@nowhere.invalid/votes").await;
    assert_has(&said, &["nowhere.invalid", "there is no host of that name"]);
}

#[tokio::test]
async fn a_port_of_another_server_than_postgres() {
    // It waits for the end of a line.
    let redis = or_skip!(redis::shared());
    let url = redis.url.replace("redis://", "postgres://u@") + "/votes";
    assert_has(
        &complaint_of_store(&url).await,
        &["what listens there is no Postgres"],
    );
    // It answers.
    let storage = Storage::new(Kind::Embedded).await.unwrap();
    let vote = Service::start("vote", &storage, &[]);
    let url = vote.url.replace("http://", "postgres://u@") + "/votes";
    assert_has(
        &complaint_of_store(&url).await,
        &["does not speak Postgres' protocol"],
    );
}

#[tokio::test]
async fn a_postgres_that_takes_no_more_connections() {
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
    assert_has(&complaint_of_store(&url).await, &words);
}

#[tokio::test]
async fn a_database_that_is_not_there_or_has_another_encoding() {
    let postgres = or_skip!(postgres::shared());
    let name = unique("other");
    let url = format!("{}/{name}", postgres.url().rsplit_once('/').unwrap().0);
    let missing = format!("database \"{name}\" does not exist");
    let words = [&*missing, "must name a database that is there"];
    assert_has(&complaint_of_store(&url).await, &words);

    let mut admin = PgConnection::connect(postgres.url()).await.unwrap();
    let create = format!(
        "CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .unwrap();
    assert_has(
        &complaint_of_store(&url).await,
        &["has the encoding LATIN1", "must be UTF8"],
    );
}

#[tokio::test]
async fn tls_that_does_not_fit_postgres() {
    let plain = or_skip!(postgres::shared());
    let said = complaint_of_store(&format!("{}?sslmode=require", plain.url())).await;
    assert_has(&said, &["sslmode in DATABASE_URL"]);

    let certificate = Certificate::new();
    let secured = or_skip!(postgres::secured(&certificate));
    let url = format!("{}?sslmode=verify-full", secured.url);
    let said = eventually(
        "a server that answers",
        |said: &String| said.contains("certificate"),
        async || complaint_of_store(&url).await,
    )
    .await;
    assert_has(&said, &["is not trusted", "sslrootcert=FILE"]);
    let other = Certificate::new();
    let folder = tempfile::tempdir().unwrap();
    other.write(folder.path(), None).unwrap();
    let file = folder.path().join("cert.pem").display().to_string();
    // As libpq does: with an authority, require verifies.
    let said = complaint_of_store(&format!(
        "{}?sslmode=require&sslrootcert={file}",
        secured.url
    ))
    .await;
    assert_has(&said, &["is not trusted"]);
}

/// What the probe of `vote` says of this queue, once it says this word.
async fn until_vote_says(queue_url: &str, variables: &[(&str, &str)], words: &[&str]) {
    let mut storage = Storage::new(Kind::Embedded).await.unwrap();
    storage.queue_url = queue_url.to_owned();
    let vote = Service::start("vote", &storage, variables);
    let said = async || {
        let (_, ready) = get_json(&format!("{}/ready", vote.url)).await;
        ready["checks"]["queue"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let has_all = |said: &String| words.iter().all(|word| said.contains(word));
    let said = eventually(&format!("{words:?}"), has_all, said).await;
    assert!(
        said.contains("(QUEUE_URL): ") && !said.contains("hidden"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_cannot_be_reached() {
    let port = free_port();
    let url = format!("redis://:hidden@127.0.0.1:{port}");
    let place = format!("Redis at 127.0.0.1:{port} (QUEUE_URL)");
    until_vote_says(&url, &[], &[&place, "nothing listens there"]).await;
    let words = ["nowhere.invalid", "there is no host of that name"];
    until_vote_says("redis://nowhere.invalid", &[], &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_takes_no_more_clients() {
    let redis = or_skip!(redis::own());
    let _connected = [redis.connect(), redis.connect()];
    redis.set("maxclients", "2");
    until_vote_says(
        &redis.url,
        &[],
        &["max number of clients", "raise maxclients"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_does_not_fit_redis() {
    let certificate = Certificate::new();
    let redis = or_skip!(redis::secured(&certificate, "alice", "hidden"));
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path(), None).unwrap();
    let file = folder.path().join("cert.pem").display().to_string();
    until_vote_says(&redis.url, &[], &["is not trusted", "SSL_CERT_FILE"]).await;
    let missing = [
        ("SSL_CERT_FILE", "/nowhere.pem"),
        ("QUEUE_URL", &*redis.url),
    ];
    let ended = output(&mut command("vote", &missing));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_has(
        &said,
        &["SSL_CERT_FILE: the file /nowhere.pem cannot be read"],
    );
    let mutual = or_skip!(redis::secured_both_ways(&certificate, "alice", "hidden"));
    let trusting = [("SSL_CERT_FILE", &*file)];
    until_vote_says(&mutual.url, &trusting, &["tls-auth-clients"]).await;
}

/// It lets in only those of its own machine, which a container is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_in_protected_mode() {
    let redis = or_skip!(redis::own());
    if !matches!(redis.server, Server::Container { .. }) {
        return crate::harness::skip::skip("it needs a Redis in a container");
    }
    redis.set("protected-mode", "yes");
    until_vote_says(&redis.url, &[], &["protected mode", "requirepass"]).await;
}
