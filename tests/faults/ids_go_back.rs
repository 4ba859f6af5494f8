//! The queue is deleted, and its clock is behind the clock that generated the ids of the stored ballots.

use ::redis::{Commands, cmd};

use super::{start_ready, wait_for_metric};
use crate::harness::{
    eventually, redis,
    skip::or_skip,
    storage::{Backend, Storage},
    viewer::wait_for_votes,
    voter::Voter,
};

/// A long idle time, so that ballots delayed by a slow disk are not claimed and counted again as stale.
const SLOW_TO_CLAIM: [(&str, &str); 1] = [("WORKER_CLAIM_MIN_IDLE", "1m")];

/// Sets the stream's last id four minutes ahead of the clock, so that later ids are greater than those of Redis' clock. A
/// larger difference counts as a wrong clock, see [`crate::clock`].
fn set_ids_ahead(storage: &Storage) {
    let now = jiff::Timestamp::now().as_millisecond();
    let mut redis = redis::shared().unwrap().connect();
    cmd("XGROUP")
        .arg("CREATE")
        .arg(&storage.stream)
        .arg("workers")
        .arg(0)
        .arg("MKSTREAM")
        .exec(&mut redis)
        .unwrap();
    let id = format!("{}-0", now + 240_000);
    cmd("XSETID")
        .arg(&storage.stream)
        .arg(id)
        .exec(&mut redis)
        .unwrap();
}

fn delete_stream(storage: &Storage) {
    let () = redis::shared()
        .unwrap()
        .connect()
        .del(&storage.stream)
        .unwrap();
}

/// Waits until the stream's last id is ahead of the clock.
async fn wait_until_raised(storage: &Storage) {
    let last_id = async || {
        let info: Result<std::collections::HashMap<String, ::redis::Value>, _> = cmd("XINFO")
            .arg("STREAM")
            .arg(&storage.stream)
            .query(&mut redis::shared().unwrap().connect());
        let last = info
            .ok()
            .and_then(|info| info.get("last-generated-id").cloned());
        last.and_then(|last| ::redis::from_redis_value::<String>(last).ok())
    };
    let now = jiff::Timestamp::now().as_millisecond().to_string();
    let is_ahead = |last: &Option<String>| last.as_ref().is_some_and(|last| *last > now);
    eventually("greater ids", is_ahead, last_id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_worker_raises_the_ids_of_a_wiped_queue() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    set_ids_ahead(&storage);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &SLOW_TO_CLAIM).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;

    delete_stream(&storage);
    wait_until_raised(&storage).await;
    voter.must_vote_for("b").await;
    wait_for_votes(&result.url, &[0, 1]).await;
    wait_for_metric(
        &worker,
        "worker_ballots_processed_total{outcome=\"stale\"} 0",
    )
    .await;
}

/// Such a vote cannot be distinguished from an old one that was delivered again. It is counted as stale, and the voter's
/// next vote counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_cast_before_the_worker_restarts_is_counted_as_stale() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    set_ids_ahead(&storage);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let mut worker = start_ready("worker", &storage, &SLOW_TO_CLAIM).await;
    let (voter, newcomer) = (Voter::new(&vote.url), Voter::new(&vote.url));
    voter.must_vote_for("a").await;
    wait_for_votes(&result.url, &[1, 0]).await;
    assert!(worker.process.terminate().success());

    delete_stream(&storage);
    voter.must_vote_for("b").await;
    newcomer.must_vote_for("b").await;
    let worker = start_ready("worker", &storage, &SLOW_TO_CLAIM).await;
    wait_for_metric(
        &worker,
        "worker_ballots_processed_total{outcome=\"stale\"} 1",
    )
    .await;
    wait_for_votes(&result.url, &[1, 1]).await;
    worker.process.wait_for_line("ids went backwards");
    voter.must_vote_for("b").await;
    wait_for_votes(&result.url, &[0, 2]).await;
}

/// The newest stored vote is in a poll that is not the current one when the queue is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ids_of_a_wiped_queue_are_raised_above_the_votes_in_all_polls() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    set_ids_ahead(&storage);
    let key = "5a".repeat(64);
    let cookie_key = [("COOKIE_KEY", &*key)];
    let voter = Voter::new("");
    let result = start_ready("result", &storage, &[]).await;
    {
        let vote = start_ready("vote", &storage, &cookie_key).await;
        let _worker = start_ready("worker", &storage, &SLOW_TO_CLAIM).await;
        voter.at(&vote.url).must_vote_for("a").await;
        wait_for_votes(&result.url, &[1, 0]).await;
    }
    delete_stream(&storage);
    {
        let _worker = start_ready("worker", &storage, &[("POLL_ID", "tea")]).await;
        wait_until_raised(&storage).await;
    }
    let vote = start_ready("vote", &storage, &cookie_key).await;
    let _worker = start_ready("worker", &storage, &SLOW_TO_CLAIM).await;
    voter.at(&vote.url).must_vote_for("b").await;
    wait_for_votes(&result.url, &[0, 1]).await;
}
