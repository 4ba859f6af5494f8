//! Servers that require TLS, users and passwords.

use reqwest::StatusCode;

use crate::harness::{
    eventually, postgres,
    process::Service,
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
    tls::Certificate,
    viewer::{get, wait_for_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_use_tls_and_passwords() {
    let certificate = Certificate::new();
    let redis = or_skip!(redis::with_tls(&certificate, "alice", "s3cret"));
    let postgres = or_skip!(postgres::with_tls(&certificate));
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    let ca_file = storage.folder.path().join("cert.pem");
    certificate.write(storage.folder.path(), None).unwrap();
    let ca_file = ca_file.display().to_string();
    storage.queue_url = redis.url.clone();
    storage.database_url = format!("{}?sslmode=verify-full&sslrootcert={ca_file}", postgres.url);

    // The certificate of Redis is verified with the system CAs, which this variable sets.
    let trusted = [("SSL_CERT_FILE", ca_file.as_str())];
    let vote = Service::start("vote", &storage, &trusted);
    let worker = Service::start("worker", &storage, &trusted);
    let result = Service::start("result", &storage, &trusted);
    for service in [&vote, &worker, &result] {
        let ready = async || get(&format!("{}/ready", service.url)).await.status();
        eventually("/ready", |status| *status == StatusCode::OK, ready).await;
    }
    Voter::new(&vote.url).must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;

    // Without the CA the certificate is not trusted.
    let without_ca = Service::start("vote", &storage, &[]);
    let page = Voter::new(&without_ca.url).vote_for("b").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    // With a wrong password votes are rejected too.
    storage.queue_url = storage.queue_url.replace("s3cret", "guess");
    let wrong_password = Service::start("vote", &storage, &trusted);
    assert_eq!(
        Voter::new(&wrong_password.url).vote_for("b").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}
