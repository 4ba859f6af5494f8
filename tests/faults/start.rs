//! Servers with faults when services start. A service reports a fault that an operator can fix at the server and retries; it
//! exits on a fault that needs another build or another setting.

use super::{
    SHORT_TIMEOUTS, assert_reports, start_ready, wait_for_metric, wait_until_ready,
    wait_until_unready,
};
use crate::harness::{
    eventually, postgres,
    process::{Process, Service, command, output},
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
    tls::Certificate,
    unique,
    viewer::{get, wait_for_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_use_and_report_a_redis_without_durable_settings() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url.clone_from(&redis.url);
    for (setting, weak, good) in [
        ("appendfsync", "everysec", "always"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ] {
        redis.set(setting, weak);
        let vote = start_ready("vote", &storage, &[]).await;
        vote.process
            .wait_for_line(&format!("{setting} is {weak} and should be {good}"));
        wait_for_metric(&vote, "queue_durable 0").await;
        Voter::new(&vote.url).must_vote_for("a").await;
        redis.set(setting, good);
    }
    let vote = start_ready("vote", &storage, &[]).await;
    wait_for_metric(&vote, "queue_durable 1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_schema_is_migrated_with_its_votes() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.store().await;
    storage
        .execute(
            "INSERT INTO votes (id, vote) VALUES ('earlier-voter', 'b');
             DROP TABLE dead_letters; DELETE FROM _sqlx_migrations WHERE version = 3",
        )
        .await;
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    storage.enqueue_raw(&[("nonsense", "a dead letter")]).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 1]).await;
    assert_eq!(storage.store().await.dead_letters().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_and_result_exit_with_an_error_on_a_newer_schema() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.migrate_to_newer_version().await;
    for name in ["worker", "result"] {
        let ended = output(&mut command(
            name,
            &[
                ("LISTEN_ADDR", "127.0.0.1:0"),
                ("QUEUE_URL", &storage.queue_url),
                ("QUEUE_STREAM", &storage.stream),
                ("DATABASE_URL", &storage.database_url),
                ("RUST_LOG", "error"),
            ],
        ));
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{name}");
        assert!(
            stderr.starts_with("error: ")
                && stderr.contains("newer version of this program: migration 9999")
                && stderr.trim().lines().count() == 1,
            "{name}: {stderr}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_wrong_redis_password_and_recover() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let with_password = |word: &str| redis.url.replace("redis://", &format!("redis://:{word}@"));
    redis.set("requirepass", "right");
    let mut services = Vec::new();
    for url in [with_password("fixed"), redis.url.clone()] {
        storage.queue_url = url;
        for name in ["vote", "worker"] {
            let service = Service::start(name, &storage, &SHORT_TIMEOUTS);
            assert_reports(&service, &["user and password", "QUEUE_URL"]).await;
            services.push(service);
        }
    }
    let mut connection = ::redis::Client::open(with_password("right"))
        .unwrap()
        .get_connection()
        .unwrap();
    // First the services that send a password, then those that send none.
    for (rule, services) in [">fixed", "nopass"].into_iter().zip(services.chunks(2)) {
        let mut acl = ::redis::cmd("ACL");
        acl.arg("SETUSER").arg("default").arg(rule);
        acl.exec(&mut connection).unwrap();
        for service in services {
            wait_until_ready(&service.url).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_an_unknown_postgres_user_and_recover() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.store().await;
    let role = unique("late");
    let direct = storage.database_url.clone();
    let mut url = url::Url::parse(&direct).unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("secret")).unwrap();
    storage.database_url = url.into();
    let mut services = Vec::new();
    for name in ["worker", "result"] {
        let service = Service::start(name, &storage, &SHORT_TIMEOUTS);
        assert_reports(&service, &["user and password", "DATABASE_URL"]).await;
        services.push(service);
    }
    storage.database_url = direct;
    storage
        .execute(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
        ))
        .await;
    for service in &services {
        wait_until_ready(&service.url).await;
    }
    drop(services);
    storage
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_a_server_without_tls() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.database_url = format!("{}?sslmode=require", storage.database_url);
    let result = Service::start("result", &storage, &SHORT_TIMEOUTS);
    assert_reports(&result, &["sslmode", "DATABASE_URL"]).await;
    storage.queue_url = redis.url.replace("redis://", "rediss://");
    let vote = Service::start("vote", &storage, &SHORT_TIMEOUTS);
    assert_reports(&vote, &["QUEUE_URL begins with rediss://", "speak TLS"]).await;
    let worker = Service::start("worker", &storage, &SHORT_TIMEOUTS);
    assert_reports(&worker, &["QUEUE_URL begins with rediss://", "speak TLS"]).await;
    wait_until_unready(&worker, &["sslmode", "DATABASE_URL"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_reports_a_redis_that_requires_tls() {
    let certificate = Certificate::new();
    let redis = or_skip!(redis::with_tls(&certificate, "alice", "s3cret"));
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url = redis.url.replace("rediss://", "redis://");
    let vote = Service::start("vote", &storage, &SHORT_TIMEOUTS);
    assert_reports(&vote, &["QUEUE_URL must begin with rediss://", "TLS only"]).await;
}

/// The program with all three services reports the faults and retries, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_combined_program_waits_for_its_servers() {
    let server = or_skip!(postgres::dedicated());
    let redis = or_skip!(redis::dedicated());
    redis.set("requirepass", "right");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let url = server.url().replace("postgres:postgres@", "unknown:guess@");
    let app = Process::start(command(
        "voting-app",
        &[
            ("VOTE_LISTEN_ADDR", "127.0.0.1:0"),
            ("RESULT_LISTEN_ADDR", "127.0.0.1:0"),
            ("WORKER_LISTEN_ADDR", "127.0.0.1:0"),
            ("DATA_DIR", &folder),
            ("QUEUE_URL", &redis.url),
            ("DATABASE_URL", &url),
        ],
    ));
    app.wait_for_line("QUEUE_URL must name a user and password");
    app.wait_for_line("DATABASE_URL must name a user and password");
}

/// Replication is asynchronous, so the service reports what a failover may lose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_reports_what_a_failover_may_lose() {
    let (primary, replica) = (or_skip!(redis::dedicated()), or_skip!(redis::dedicated()));
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url.clone_from(&primary.url);
    follow(&replica, &primary).await;
    let vote = start_ready("vote", &storage, &[]).await;
    vote.process
        .wait_for_line("1 replicas and min-replicas-to-write is 0");
    wait_for_metric(&vote, "queue_durable 0").await;
    primary.set("min-replicas-to-write", "1");
    let vote = start_ready("vote", &storage, &[]).await;
    wait_for_metric(&vote, "queue_durable 1").await;
    Voter::new(&vote.url).must_vote_for("a").await;
}

/// Makes a server the replica of another one and waits until it is connected.
async fn follow(replica: &redis::RedisServer, primary: &redis::RedisServer) {
    let (host, port) = primary.address_for_others();
    let mut command = ::redis::cmd("REPLICAOF");
    replica.exec(command.arg(host).arg(port)).unwrap();
    let replication = async || {
        let mut role = ::redis::cmd("INFO");
        let role = role.arg("replication");
        role.query::<String>(&mut primary.connect()).unwrap()
    };
    eventually(
        "a replica",
        |info: &String| info.contains("state=online"),
        replication,
    )
    .await;
}

/// On a read replica, `result` gets no notifications.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn result_polls_for_changes_on_a_read_replica() {
    let (primary, replica) = or_skip!(postgres::with_replica());
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.database_url = primary.url().to_owned();
    let vote = start_ready("vote", &storage, &[]).await;
    let _worker = start_ready("worker", &storage, &[]).await;
    storage.database_url = replica.url().to_owned();
    let result = start_ready("result", &storage, &[]).await;
    result.process.wait_for_line("the server is a read replica");
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;
    let metrics = get(&format!("{}/metrics", result.url)).await.text().await;
    let no_errors = "db_errors_total{class=\"transient\"} 0";
    assert!(
        metrics.unwrap().contains(no_errors),
        "no query fails permanently"
    );
    storage.database_url = replica.url().to_owned();
    let worker = Service::start("worker", &storage, &[]);
    wait_until_unready(&worker, &["the server is read-only"]).await;
}
