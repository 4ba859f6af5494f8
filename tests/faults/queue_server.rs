//! The queue's server is frozen, is killed, or runs out of memory.

use reqwest::StatusCode;
use tokio::{task::block_in_place, time::Instant};

use super::{
    MAX_REJECTION_LATENCY, SHORT_TIMEOUTS, assert_no_vote_lost_or_duplicated,
    partitions::wait_for_probes, start_ready, wait_until_ready, wait_until_unready,
};
use crate::harness::{
    client_pool::ClientPool,
    eventually,
    process::Service,
    proxy::{Proxy, Toxic},
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::{get, wait_for_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_is_a_fast_503_for_200_clients() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let result = start_ready("result", &storage, &SHORT_TIMEOUTS).await;
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let clients = ClientPool::start(&vote.url, 200);
    clients.wait_for_accepted(400).await;

    redis.server.freeze();
    clients.wait_for_rejected(1000).await;
    for page in [&vote.url, &format!("{}/api/poll", vote.url), &result.url] {
        assert_eq!(get(page).await.status(), StatusCode::OK, "{page}");
    }
    redis.server.thaw();
    clients.wait_for_accepted(200).await;

    let counts = clients.stop().await;
    let slowest = counts.slowest_rejection();
    assert!(slowest < MAX_REJECTION_LATENCY, "{slowest:?}");
    assert_eq!((counts.failed(), counts.without_retry_after()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_loses_no_accepted_vote() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let clients = ClientPool::start(&vote.url, 50);
    for _ in 0..3 {
        clients.wait_for_accepted(100).await;
        redis.server.kill();
        clients.wait_for_rejected(50).await;
        redis.server.start();
        redis.wait_until_ready().unwrap();
        let restarted = Instant::now();
        clients.wait_for_accepted(1).await;
        println!(
            "votes are accepted {:?} after Redis was restarted",
            restarted.elapsed()
        );
    }
    let counts = clients.stop().await;
    assert_eq!((counts.failed(), counts.without_retry_after()), (0, 0));
    assert_no_vote_lost_or_duplicated(&storage, &counts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_drain_a_redis_that_is_out_of_memory() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    let mut worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    let counted = async || storage.count_votes_if_ready().await;
    eventually("the first vote", |votes| !votes.is_empty(), counted).await;
    worker.process.kill();
    for _ in 0..20 {
        Voter::new(&vote.url).must_vote_for("a").await;
    }
    storage
        .enqueue_raw(&[("nonsense", "without memory for it")])
        .await;

    redis.set("maxmemory", "1");
    let page = Voter::new(&vote.url).vote_for("b").await;
    assert_eq!(
        (page.status, page.retry_after.as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("1"))
    );
    wait_until_unready(&vote, &["OOM"]).await;
    let _worker = Service::start("worker", &storage, &SHORT_TIMEOUTS);
    let length = async || redis.length(&storage.stream);
    eventually("an empty stream", |length| *length == 0, length).await;
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 21)]);
    assert_eq!(storage.store().await.dead_letters().await.unwrap().len(), 1);

    redis.set("maxmemory", "0");
    Voter::new(&vote.url).must_vote_for("b").await;
    let result = start_ready("result", &storage, &SHORT_TIMEOUTS).await;
    wait_for_votes(&result.url, &[21, 1]).await;
}

/// The client cannot know whether the command arrived. It did, so a retry would enqueue a second ballot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_flight_enqueues_are_not_retried_after_a_broken_connection() {
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    let direct = redis::shared().unwrap();
    let (proxy, url) = Proxy::to(&storage.queue_url).await;
    storage.queue_url = url;
    let vote = start_ready("vote", &storage, &[("ENQUEUE_TIMEOUT", "4s")]).await;
    proxy.set_toxic(Toxic::TimeoutDownstream);
    let voter = Voter::new(&vote.url);
    let voting = tokio::spawn(async move { voter.vote_for("a").await });
    let length = async || direct.length(&storage.stream);
    eventually("the ballot in the queue", |length| *length == 1, length).await;
    // New connections work at once, and much of the timeout is left.
    proxy.reset_open_connections();
    let page = voting.await.unwrap();
    assert_eq!(
        (page.status, page.retry_after.as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("1"))
    );
    wait_until_ready(&vote.url).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    assert_eq!(direct.length(&storage.stream), 2);
}

/// No vote has to fail to detect that the old connection is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_vote_after_a_redis_outage_is_accepted() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &[]).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    block_in_place(|| redis.server.kill());
    wait_until_unready(&vote, &["queue"]).await;
    block_in_place(|| redis.server.start());
    wait_until_ready(&vote.url).await;
    Voter::new(&vote.url).must_vote_for("b").await;
}

/// The creation of the consumer group needs memory that Redis does not have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_worker_drains_a_redis_that_is_out_of_memory() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &SHORT_TIMEOUTS).await;
    Voter::new(&vote.url).must_vote_for("a").await;
    redis.set("maxmemory", "1");
    let _worker = start_ready("worker", &storage, &SHORT_TIMEOUTS).await;
    let length = async || redis.length(&storage.stream);
    eventually("an empty stream", |length| *length == 0, length).await;
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 1)]);
}

/// The timeout of the connection must not be shorter than the enqueue timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_may_wait_for_the_whole_enqueue_timeout() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = Storage::new(Backend::Embedded).await.unwrap();
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &[("ENQUEUE_TIMEOUT", "50s")]).await;
    let voter = Voter::new(&vote.url);
    redis.server.freeze();
    let voting = async { voter.vote_for("a").await.status };
    let thawing = async {
        // Each probe takes almost a second.
        wait_for_probes(&vote, "queue", 9).await;
        redis.server.thaw();
    };
    let (status, ()) = tokio::join!(voting, thawing);
    assert_eq!(status, StatusCode::OK);
}
