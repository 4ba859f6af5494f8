//! Clocks that are ahead, were ahead, or are set back.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use poll::ballot::BallotId;
use serde_json::Value;

use crate::{
    faults::{
        start_ready, wait_for_metric, wait_until_empty, wait_until_ready, wait_until_unready,
    },
    harness::{
        TIMEOUT, eventually,
        process::{command, output},
        skip::or_skip,
        storage::{Backend, Storage, on_both_storages, poll},
        viewer::{get, get_json, tally, wait_for_votes},
        voter::Voter,
    },
};

const YEAR_MS: u64 = 400 * 24 * 3600 * 1000;

fn now_ms() -> u64 {
    Timestamp::now().as_millisecond().unsigned_abs()
}

/// Enqueues a ballot whose id is in the future, as a clock that was ahead leaves it.
async fn enqueue_with_future_id(storage: &Storage) {
    let ms = now_ms() + YEAR_MS;
    let voter = "0123456789abcdef0123456789abcdef";
    if storage.queue_url.starts_with("redis") {
        let queue = storage.queue().await;
        let mut add = ::redis::cmd("XADD");
        add.arg(queue.name()).arg(format!("{ms}-0"));
        add.arg(&[("voter", voter), ("choice", "b")]);
        storage.exec_on_owner_node(&add);
    } else {
        let statement = format!(
            "UPDATE last_ballot SET ms = {ms}, seq = 0;
             INSERT INTO ballots (ms, seq, fields) VALUES ({ms}, 0, '{{\"voter\":\"{voter}\",\"choice\":\"b\"}}')"
        );
        storage.execute(&statement).await;
    }
}

async fn a_ballot_with_a_future_id_is_counted_and_restart_ids_restores_current_ids(
    storage: Storage,
) {
    let vote = start_ready("vote", &storage, &[]).await;
    let voter = Voter::new(&vote.url);
    enqueue_with_future_id(&storage).await;
    // The queue continues from the future id, so the id of this ballot is in the future too.
    voter.must_vote_for("a").await;
    let mut worker = start_ready("worker", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    wait_for_votes(&result.url, &[1, 1]).await;
    let shown = tally(&result.url).await;
    assert!(
        shown["last_vote_at"].is_null(),
        "the time of the last vote is unknown: {shown}"
    );

    let restart_ids = || {
        let variables = [
            ("QUEUE_URL", &*storage.queue_url),
            ("QUEUE_STREAM", &*storage.stream),
            ("DATABASE_URL", &*storage.database_url),
        ];
        let output = output(command("worker", &variables).args(["admin", "restart-ids"]));
        let message = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), message)
    };
    let (succeeded, message) = restart_ids();
    assert!(
        !succeeded && message.contains("stop all workers first"),
        "{message}"
    );
    assert!(worker.process.terminate().success());
    storage.make_reports_old().await;
    // The command counts ballots that are enqueued while no worker runs.
    voter.must_vote_for("b").await;
    let stopped = async || restart_ids();
    let (_, message) = eventually("a stopped worker", |(succeeded, _)| *succeeded, stopped).await;
    assert!(message.contains("follow the clock again"), "{message}");
    wait_for_votes(&result.url, &[0, 2]).await;
    voter.must_vote_for("a").await;
    let worker = start_ready("worker", &storage, &[]).await;
    wait_for_votes(&result.url, &[1, 1]).await;
    wait_for_metric(&worker, "worker_queue_clock_ahead_seconds 0").await;
    // A changed vote is newer than the ballot with the future id.
    voter.must_vote_for("b").await;
    wait_for_votes(&result.url, &[0, 2]).await;
    wait_until_empty(&storage).await;
    let newest = storage.store().await.tally(&poll().id).await.unwrap().0;
    for count in newest {
        assert!(count.last_cast_ms.unsigned_abs() <= now_ms(), "{count:?}");
    }
    let is_current = |timeline: &Value| {
        timeline["step_seconds"] == 10
            && timeline["steps"]
                .as_array()
                .is_some_and(|steps| !steps.is_empty())
    };
    eventually("a timeline of the current day", is_current, async || {
        get_json(&format!("{}/api/timeline", result.url)).await.1
    })
    .await;
    let shown = tally(&result.url).await;
    let last: Timestamp = shown["last_vote_at"].as_str().unwrap().parse().unwrap();
    assert!(last <= Timestamp::now());
}

/// While no worker can store the ballot, its age is the time since it was first seen.
async fn a_waiting_ballot_with_a_future_id_has_an_age(storage: Storage) {
    storage.store().await;
    let mut broken = Storage::new(Backend::Embedded).await.unwrap();
    broken.queue_url.clone_from(&storage.queue_url);
    broken.stream.clone_from(&storage.stream);
    broken.database_url = "postgres://nowhere.invalid/none".into();
    enqueue_with_future_id(&storage).await;
    let worker = crate::harness::process::Service::start("worker", &broken, &[]);
    let metrics = async || {
        get(&format!("{}/metrics", worker.url))
            .await
            .text()
            .await
            .unwrap()
    };
    let value = |metrics: &String, name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.split(' ').nth(1)?.parse::<f64>().ok()
    };
    let is_measured = |metrics: &String| {
        value(metrics, "worker_oldest_unacked_age_seconds").is_some_and(|age| age > 2.0)
            && value(metrics, "worker_queue_clock_ahead_seconds").is_some_and(|ahead| ahead > 1e7)
    };
    eventually("the age of the ballot", is_measured, metrics).await;
}

async fn entries_delivered_before_the_clock_was_set_back_are_claimed(storage: Storage) {
    let queue = storage.queue().await;
    storage
        .enqueue_raw(&[("voter", "x"), ("choice", "a")])
        .await;
    let mut dead = queue.consumer("dead");
    let pending_id = read_one(&mut dead).await;
    let future = now_ms() + YEAR_MS;
    if storage.queue_url.starts_with("redis") {
        let mut deliver = ::redis::cmd("XCLAIM");
        deliver.arg(queue.name()).arg("workers").arg("dead").arg(0);
        deliver.arg(pending_id.to_string()).arg("TIME").arg(future);
        storage.exec_on_owner_node(&deliver);
    } else {
        storage
            .execute(&format!("UPDATE ballots SET delivered_ms = {future}"))
            .await;
    }
    let mut consumer_b = queue.consumer("consumer-b");
    let deadline = Instant::now() + TIMEOUT;
    let claimed = loop {
        let claimed = consumer_b
            .claim(10, Duration::from_millis(100))
            .await
            .unwrap();
        if !claimed.entries.is_empty() || Instant::now() > deadline {
            break claimed;
        }
    };
    let ids: Vec<_> = claimed.entries.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids, [pending_id]);
}

async fn read_one(consumer: &mut queue::Consumer) -> BallotId {
    loop {
        let read = consumer.read(1, Duration::from_secs(1)).await.unwrap();
        if let Some(delivery) = read.first() {
            return delivery.id;
        }
    }
}

on_both_storages! {
    a_ballot_with_a_future_id_is_counted_and_restart_ids_restores_current_ids,
    a_waiting_ballot_with_a_future_id_has_an_age,
    entries_delivered_before_the_clock_was_set_back_are_claimed,
}

/// Ballots can be removed by a command, by eviction, or by a restart without persistence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ballots_removed_before_delivery_are_counted_as_lost() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    {
        let _worker = start_ready("worker", &storage, &[]).await;
        Voter::new(&vote.url).must_vote_for("a").await;
        wait_until_empty(&storage).await;
    }
    for _ in 0..4 {
        Voter::new(&vote.url).must_vote_for("a").await;
    }
    let mut trim = ::redis::cmd("XTRIM");
    storage.exec_on_owner_node(trim.arg(&storage.stream).arg("MAXLEN").arg(1));
    let worker = start_ready("worker", &storage, &[]).await;
    wait_for_metric(&worker, "worker_ballots_lost_total 3").await;
    wait_until_empty(&storage).await;
    wait_for_metric(&worker, "worker_ballots_lost_total 3").await;
}

/// A client that can add entries can add one with the greatest possible id, after which Redis assigns no further ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_greatest_id_makes_vote_unready_until_restart_ids() {
    let storage = or_skip!(Storage::new(Backend::Servers).await);
    let vote = start_ready("vote", &storage, &[]).await;
    let result = start_ready("result", &storage, &[]).await;
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    let queue = storage.queue().await;
    let mut add = ::redis::cmd("XADD");
    add.arg(queue.name()).arg(format!("{0}-{0}", u64::MAX));
    add.arg(&[
        ("voter", "0123456789abcdef0123456789abcdef"),
        ("choice", "b"),
    ]);
    storage.exec_on_owner_node(&add);

    let rejected = Voter::new(&vote.url).vote_for("a").await;
    assert_eq!(rejected.status, reqwest::StatusCode::SERVICE_UNAVAILABLE);
    wait_until_unready(&vote, &["exhausted", "restart-ids"]).await;
    let mut worker = start_ready("worker", &storage, &[]).await;
    wait_for_votes(&result.url, &[1, 0]).await;
    assert!(worker.process.terminate().success());
    storage.make_reports_old().await;
    let restarted = async || {
        let variables = [
            ("QUEUE_URL", &*storage.queue_url),
            ("QUEUE_STREAM", &*storage.stream),
            ("DATABASE_URL", &*storage.database_url),
        ];
        let output = output(command("worker", &variables).args(["admin", "restart-ids"]));
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let done = |message: &String| message.contains("follow the clock again");
    eventually("ids that follow the clock", done, restarted).await;
    wait_until_ready(&vote.url).await;
    voter.must_vote_for("b").await;
    let _worker = start_ready("worker", &storage, &[]).await;
    wait_for_votes(&result.url, &[0, 1]).await;
}
