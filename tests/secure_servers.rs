//! Servers that ask for TLS, users and passwords.

use reqwest::StatusCode;

use crate::harness::{
    eventually, postgres,
    process::Service,
    redis,
    skip::or_skip,
    storage::{Kind, Storage},
    tls::Certificate,
    viewer::{get, until_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_use_tls_and_passwords() {
    let certificate = Certificate::new();
    let redis = or_skip!(redis::secured(&certificate, "alice", "s3cret"));
    let postgres = or_skip!(postgres::secured(&certificate));
    let mut storage = Storage::new(Kind::Embedded).await.unwrap();
    let authority = storage.folder.path().join("cert.pem");
    certificate.write(storage.folder.path(), None).unwrap();
    let authority = authority.display().to_string();
    storage.queue_url = redis.url.clone();
    storage.database_url = format!(
        "{}?sslmode=verify-full&sslrootcert={authority}",
        postgres.url
    );

    // Redis' certificate is checked against the system's authorities, and this variable says which those are.
    let trusting = [("SSL_CERT_FILE", authority.as_str())];
    let vote = Service::start("vote", &storage, &trusting);
    let worker = Service::start("worker", &storage, &trusting);
    let result = Service::start("result", &storage, &trusting);
    for service in [&vote, &worker, &result] {
        let ready = async || get(&format!("{}/ready", service.url)).await.status();
        eventually("/ready", |status| *status == StatusCode::OK, ready).await;
    }
    Voter::new(&vote.url).must_vote_for("a").await;
    until_votes(&result.url, &[1, 0]).await;

    // Without the authority the server could be anybody.
    let doubting = Service::start("vote", &storage, &[]);
    let page = Voter::new(&doubting.url).vote_for("b").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    // With a wrong password nothing is taken either.
    storage.queue_url = storage.queue_url.replace("s3cret", "guess");
    let stranger = Service::start("vote", &storage, &trusting);
    assert_eq!(
        Voter::new(&stranger.url).vote_for("b").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
}
