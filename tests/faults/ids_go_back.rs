//! The queue is wiped, and its clock is behind the one that gave out the ids of stored ballots.

use ::redis::{Commands, cmd};

use super::{start_ready, until_metric};
use crate::harness::{
    eventually, redis,
    skip::or_skip,
    storage::{Kind, Storage},
    viewer::until_votes,
    voter::Voter,
};

/// The setting with which ballots that a slow disk holds up are not taken over, and so not counted once more as stale.
const PATIENT: [(&str, &str); 1] = [("WORKER_CLAIM_MIN_IDLE", "1m")];

/// Some minutes before the other clock, as ids have it: what follows is younger than what Redis' clock says. More would be a
/// wrong clock of before, see [`crate::clock`].
fn run_ahead(storage: &Storage) {
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

fn wipe(storage: &Storage) {
    let () = redis::shared()
        .unwrap()
        .connect()
        .del(&storage.stream)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_worker_pushes_the_ids_of_a_wiped_queue_forward() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    run_ahead(&storage);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let worker = start_ready("worker", &storage, &PATIENT).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    until_votes(&result.url, &[1, 0]).await;

    wipe(&storage);
    let pushed = async || {
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
    eventually("greater ids", is_ahead, pushed).await;
    voter.must_vote_for("b").await;
    until_votes(&result.url, &[0, 1]).await;
    until_metric(
        &worker,
        "worker_ballots_processed_total{outcome=\"stale\"} 0",
    )
    .await;
}

/// Nobody can tell such a vote from an old one that was delivered again; but it is counted as stale, and the next counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_cast_before_a_worker_saw_it_is_counted_as_stale() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    run_ahead(&storage);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let mut worker = start_ready("worker", &storage, &PATIENT).await;
    let (voter, newcomer) = (Voter::new(&vote.url), Voter::new(&vote.url));
    voter.must_vote_for("a").await;
    until_votes(&result.url, &[1, 0]).await;
    assert!(worker.process.terminate().success());

    wipe(&storage);
    voter.must_vote_for("b").await;
    newcomer.must_vote_for("b").await;
    let worker = start_ready("worker", &storage, &PATIENT).await;
    until_metric(
        &worker,
        "worker_ballots_processed_total{outcome=\"stale\"} 1",
    )
    .await;
    until_votes(&result.url, &[1, 1]).await;
    worker.process.line_with("ids had gone back");
    voter.must_vote_for("b").await;
    until_votes(&result.url, &[0, 2]).await;
}
