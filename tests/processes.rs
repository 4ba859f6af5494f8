//! Services as separate processes that are stopped, killed and restarted.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use reqwest::StatusCode;

use crate::{
    harness::{
        eventually,
        process::{Process, Service, command},
        storage::{Storage, on_both_storages},
        viewer::{Viewer, tally, votes, wait_for_votes},
        voter::Voter,
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    three_processes_count_a_vote,
    several_replicas_share_the_work,
    no_accepted_vote_is_lost_when_a_service_is_killed,
    a_terminated_service_exits_successfully,
    votes_survive_kills_of_the_single_process,
}

async fn three_processes_count_a_vote(storage: Storage) {
    let vote = Service::start("vote", &storage, &[]);
    let result = Service::start("result", &storage, &[]);
    let _worker = Service::start("worker", &storage, &[]);
    let voter = Voter::new(&vote.url);
    voter.must_vote_for("a").await;
    let mut viewer = Viewer::open(&result.url, None).await;
    viewer.wait_for_votes(&[1, 0]).await;
    voter.must_vote_for("b").await;
    viewer.wait_for_votes(&[0, 1]).await;
    assert_eq!(voter.get_page().await.selected_options(), ["b"]);
}

async fn several_replicas_share_the_work(storage: Storage) {
    // Replicas of one service recognise the same voters, because they share a key.
    let key = [("COOKIE_KEY", &*"5a".repeat(64))];
    let votes = [
        Service::start("vote", &storage, &key),
        Service::start("vote", &storage, &key),
    ];
    let results = [
        Service::start("result", &storage, &[]),
        Service::start("result", &storage, &[]),
    ];
    let _workers = [
        Service::start("worker", &storage, &[]),
        Service::start("worker", &storage, &[]),
    ];
    for round in 0..30 {
        Voter::new(&votes[round % 2].url)
            .must_vote_for(["a", "b", "b"][round % 3])
            .await;
    }
    for result in &results {
        wait_for_votes(&result.url, &[10, 20]).await;
    }
    // A browser that reconnects to the other replica gets no new event, because both replicas send the same events. This
    // retries, because a replica that waited for a busy store may send a stale tally first.
    let first = async || {
        let mut viewer = Viewer::open(&results[0].url, None).await;
        let event = viewer.wait_for_votes(&[10, 20]).await;
        let mut moved = Viewer::open(&results[1].url, Some(&event.id)).await;
        moved.next().await.expect("an event is sent at once").kind
    };
    eventually("no new event", |kind| kind == "heartbeat", first).await;
    assert_counts_are_right(&storage).await;
}

/// accepted ⊆ counted ⊆ attempted, if any service is killed at any time.
async fn no_accepted_vote_is_lost_when_a_service_is_killed(storage: Storage) {
    const VOTERS: usize = 4;
    let key = [("COOKIE_KEY", &*"5a".repeat(64))];
    let mut vote = Service::start("vote", &storage, &key);
    let mut worker = Service::start("worker", &storage, &[]);
    let address = vote.url.trim_start_matches("http://").to_owned();
    let same_address = [key[0], ("LISTEN_ADDR", &*address)];
    let stop = Arc::new(AtomicBool::new(false));
    let voters = (0..VOTERS).map(|_| {
        let (url, stop) = (vote.url.clone(), stop.clone());
        tokio::spawn(async move {
            let (mut accepted, mut attempted) = (0_u64, 0_u64);
            while !stop.load(Ordering::Relaxed) {
                attempted += 1;
                let client = crate::harness::voter::client();
                // Every attempt is a new voter, so every vote can be counted.
                let response = client.post(&url).form(&[("vote", "a")]).send().await;
                accepted +=
                    u64::from(response.is_ok_and(|response| response.status() == StatusCode::OK));
            }
            (accepted, attempted)
        })
    });
    let voters: Vec<_> = voters.collect();
    for round in 0..4 {
        // After some votes, the worker has an in-flight batch, and the voters have in-flight requests.
        let reached = votes_so_far(&storage).await + 20;
        eventually(
            "some votes",
            |counted| *counted >= reached,
            async || votes_so_far(&storage).await,
        )
        .await;
        if round % 2 == 0 {
            worker.process.kill();
            worker = Service::start("worker", &storage, &[]);
        } else {
            vote.process.kill();
            vote = Service::start("vote", &storage, &same_address);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut accepted, mut attempted) = (0, 0);
    for voter in voters {
        let (accepted_by_voter, attempted_by_voter) = voter.await.unwrap();
        (accepted, attempted) = (accepted + accepted_by_voter, attempted + attempted_by_voter);
    }
    let queue = storage.queue().await;
    let drained = async || queue.consumer("observer").trim().await.unwrap().oldest;
    eventually("an empty queue", Option::is_none, drained).await;
    let counted = votes_so_far(&storage).await;
    assert!(
        accepted <= counted && counted <= attempted,
        "{accepted} ⊆ {counted} ⊆ {attempted}"
    );
    assert_counts_are_right(&storage).await;
}

async fn votes_so_far(storage: &Storage) -> u64 {
    storage
        .count_votes_if_ready()
        .await
        .iter()
        .map(|(_, votes)| votes.unsigned_abs())
        .sum()
}

async fn a_terminated_service_exits_successfully(storage: Storage) {
    for name in ["vote", "worker", "result"] {
        let mut service = Service::start(name, &storage, &[]);
        let ready = async || {
            crate::harness::viewer::get(&format!("{}/ready", service.url))
                .await
                .status()
        };
        eventually("/ready", |status| *status == StatusCode::OK, ready).await;
        assert!(service.process.terminate().success(), "{name}");
    }
}

async fn votes_survive_kills_of_the_single_process(storage: Storage) {
    let folder = storage.folder.path().display().to_string();
    let variables = [
        ("VOTE_LISTEN_ADDR", "127.0.0.1:0"),
        ("RESULT_LISTEN_ADDR", "127.0.0.1:0"),
        ("WORKER_LISTEN_ADDR", "127.0.0.1:0"),
        ("DATA_DIR", &folder),
        ("QUEUE_URL", &storage.queue_url),
        ("DATABASE_URL", &storage.database_url),
        ("QUEUE_STREAM", &storage.stream),
        ("WORKER_CLAIM_MIN_IDLE", "1s"),
        ("ENQUEUE_TIMEOUT", "20s"),
    ];
    let mut accepted = 0;
    for _ in 0..3 {
        let mut app = Process::start(command("voting-app", &variables));
        let url = app.url_in("vote    ");
        for _ in 0..10 {
            Voter::new(&url).must_vote_for("a").await;
            accepted += 1;
        }
        // Without a delay, so that some of these votes are still in the queue.
        app.kill();
    }
    let mut app = Process::start(command("voting-app", &variables));
    let result = app.url_in("result  ");
    wait_for_votes(&result, &[accepted, 0]).await;
    assert_eq!(votes(&tally(&result).await), [accepted, 0]);
    assert!(app.terminate().success());
}
