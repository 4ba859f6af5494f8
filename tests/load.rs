//! The load generator reports no violation in a correct system, and every violation in a manipulated one.

use std::time::Duration;

use load::{
    Load, LoadConfig, Observer,
    check::{Observation, Violation},
    schedule::Plan,
};
use rustix::process::Signal;
use serde_json::Value;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    TIMEOUT,
    app::App,
    eventually,
    process::{Process, Service, command, output},
    storage::{POLL_ID, Storage, on_both_storages},
    viewer::{tally, wait_for_votes},
    voter::Voter,
};

on_both_storages! {
    voters_who_change_their_vote_are_all_counted,
    the_report_contains_the_results,
    every_kind_of_tampering_is_reported,
    the_program_fails_when_votes_are_wrong,
    a_killed_replica_leaves_ambiguous_votes_and_loses_none,
    replicas_with_different_cookie_keys_are_reported,
}

/// A configuration for this number of votes by twelve voters.
fn plan(vote: &[&str], votes: u64) -> LoadConfig {
    LoadConfig {
        vote: vote.iter().map(|url| url.parse().unwrap()).collect(),
        voters: 12,
        connections: 4,
        plan: Plan {
            votes: Some(votes),
            ..Plan::default()
        },
        seed: 1,
        request_timeout: TIMEOUT,
    }
}

async fn new_observer(result: &str, storage: &Storage) -> Observer {
    let store = storage.store_config();
    Observer::new(result.parse().unwrap(), Some(&store))
        .await
        .unwrap()
}

/// The first observation, once the services run.
async fn first_observation(observer: &Observer) -> Observation {
    let observe = async || {
        observer
            .observe_baseline()
            .await
            .map_err(|error| error.to_string())
    };
    eventually("a first observation", Result::is_ok, observe)
        .await
        .unwrap()
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(Violation::rule).collect()
}

async fn voters_who_change_their_vote_are_all_counted(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    let observer = new_observer(&app.result, &storage).await;
    let before = observer.observe_baseline().await.unwrap();
    let load = Load::run(&plan(&[&app.vote], 300), CancellationToken::new())
        .await
        .unwrap();
    let verdict = observer
        .settle(&load.history, &before, TIMEOUT)
        .await
        .unwrap();
    assert_eq!((verdict.violations, verdict.quiescent), (Vec::new(), true));
    assert_eq!(load.latencies.accepted.count(), 300);
    assert_eq!(load.history.voters.len(), 12);
    assert_eq!(verdict.observation.reported.total, 1 + 12);
    let changed = |record: &load::history::VoterRecord| {
        let mut choices = record.recent.iter().map(|attempt| attempt.choice);
        let first = choices.next();
        choices.any(|choice| Some(choice) != first)
    };
    assert!(
        load.history.voters.iter().any(changed),
        "voters change their votes"
    );
    app.stop().await;
}

async fn the_report_contains_the_results(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let json = storage.folder.path().join("report.json");
    let run = |variables: &[(&str, &str)]| {
        let urls = [
            ("LOAD_VOTE_URL", &*app.vote),
            ("LOAD_RESULT_URL", &app.result),
        ];
        let mut load = command("load", &[&urls, variables].concat());
        let arguments = ["--votes", "60", "--voters", "7", "--rate", "600", "--json"];
        let ended = block_in_place(|| output(load.args(arguments).arg(&json)));
        let stdout = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{stdout}");
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        (stdout, report)
    };
    let (stdout, report) = run(&[("DATABASE_URL", &storage.database_url)]);
    assert!(
        stdout.contains("voters accepted 7 ⊆ counted 7 ⊆ attempted 7, lost 0"),
        "{stdout}"
    );
    assert_eq!(report["outcomes"]["accepted"]["count"], 60, "{report}");
    assert_eq!(report["store_checked"], true);
    assert!(report["violations"].as_array().unwrap().is_empty());
    // A second run, with existing votes, and without access to the store.
    let (stdout, report) = run(&[]);
    assert!(stdout.contains("; 7 votes before"), "{stdout}");
    assert_eq!(
        (&report["counted_voters"], &report["store_checked"]),
        (&7.into(), &false.into())
    );
    app.stop().await;
}

async fn every_kind_of_tampering_is_reported(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    let observer = new_observer(&app.result, &storage).await;
    let unknown_voter = "f".repeat(32);
    let cases = [
        (
            "UPDATE votes SET vote = CASE vote WHEN 'a' THEN 'b' ELSE 'a' END WHERE id = 'VOTER'",
            "phantom",
        ),
        (
            "UPDATE votes SET cast_ms = cast_ms - 1 WHERE id = 'VOTER'",
            "outdated",
        ),
        ("DELETE FROM votes WHERE id = 'VOTER'", "lost"),
        (
            "INSERT INTO votes (id, poll, vote, cast_ms, cast_seq) VALUES ('UNKNOWN', 'POLL', 'a', 1, 1)",
            "unknown",
        ),
        (
            "UPDATE tally SET votes = votes + 1 WHERE option = 'a'",
            "tally",
        ),
    ];
    for (statement, rule) in cases {
        let before = observer.observe_baseline().await.unwrap();
        let load = Load::run(&plan(&[&app.vote], 40), CancellationToken::new())
            .await
            .unwrap();
        let settled = observer.settle(&load.history, &before, TIMEOUT);
        assert_eq!(
            rules(&settled.await.unwrap().violations),
            [""; 0],
            "before {statement}"
        );
        let voter = load.history.voters[0].voter.to_string();
        let statement = statement
            .replace("VOTER", &voter)
            .replace("UNKNOWN", &unknown_voter)
            .replace("POLL", POLL_ID);
        storage.execute(&statement).await;
        // Without waiting: a later observation cannot repair it.
        let after = observer.settle(&load.history, &before, Duration::ZERO);
        let violations = after.await.unwrap().violations;
        let found = violations.iter().find(|violation| violation.rule() == rule);
        let line = found
            .unwrap_or_else(|| panic!("{statement}: {violations:?}"))
            .to_string();
        let names = match rule {
            "unknown" => &unknown_voter,
            "tally" => "\"a\"",
            _ => &voter,
        };
        assert!(line.contains(names), "{line}");
    }
    app.stop().await;
}

async fn the_program_fails_when_votes_are_wrong(storage: Storage) {
    // More votes than the program has voters.
    const UNKNOWN_VOTERS: u64 = 2000;
    let tampering = format!(
        "DELETE FROM votes WHERE cast_ms = (SELECT min(cast_ms) FROM votes);
         INSERT INTO votes (id, poll, vote, cast_ms, cast_seq)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {UNKNOWN_VOTERS})
             SELECT 'unknown-' || i, '{POLL_ID}', 'b', 1, 1 FROM n;"
    );
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    for (database_url, names) in [
        (
            Some(&storage.database_url),
            "VIOLATION changed: a vote for \"a\"",
        ),
        (None, "VIOLATION reported-tally: the result page shows"),
    ] {
        storage.execute("DELETE FROM votes").await;
        Voter::new(&app.vote).must_vote_for("a").await;
        wait_for_votes(&app.result, &[1, 0]).await;
        let mut load = command(
            "load",
            &[
                ("LOAD_VOTE_URL", &app.vote),
                ("LOAD_RESULT_URL", &app.result),
            ],
        );
        load.args(["--rate", "50", "--duration", "10m", "--settle", "0s"]);
        load.envs(database_url.map(|url| ("DATABASE_URL", url)));
        let mut load = Process::start(load);
        block_in_place(|| load.wait_for_line("1 votes before"));
        storage.execute(&tampering).await;
        // The violation is visible without the store only after the result page shows it.
        let total = async || tally(&app.result).await["total"].as_u64();
        eventually(
            "the inserted votes",
            |total| *total >= Some(UNKNOWN_VOTERS),
            total,
        )
        .await;
        load.signal(Signal::INT);
        let ended = block_in_place(|| load.wait());
        assert!(!ended.success());
        load.wait_for_line(names);
        assert!(load.wait_for_line("error: ").contains("violat"));
        // The last votes must be stored before the next round deletes all votes.
        let queue = storage.queue().await;
        let drained = async || queue.consumer("observer").trim().await.unwrap().oldest;
        eventually("an empty queue", Option::is_none, drained).await;
    }
    app.stop().await;
}

/// All services as processes, with two replicas of `vote` that use these cookie keys.
fn with_replicas(storage: &Storage, keys: [&str; 2]) -> ([Service; 2], Service, Service) {
    let result = Service::start("result", storage, &[]);
    let worker = Service::start("worker", storage, &[]);
    let vote = keys.map(|key| Service::start("vote", storage, &[("COOKIE_KEY", key)]));
    (vote, worker, result)
}

async fn a_killed_replica_leaves_ambiguous_votes_and_loses_none(storage: Storage) {
    let key = "ab".repeat(64);
    let ([mut killed, kept], _worker, result) = with_replicas(&storage, [&key, &key]);
    let observer = new_observer(&result.url, &storage).await;
    let before = first_observation(&observer).await;
    let mut config = plan(&[&killed.url, &kept.url], 1200);
    config.plan.rate = Some(400.0);
    let running = tokio::spawn(async move { Load::run(&config, CancellationToken::new()).await });
    let counted = async || {
        storage
            .count_votes_if_ready()
            .await
            .iter()
            .map(|count| count.1)
            .sum()
    };
    eventually("votes", |counted: &i64| *counted > 6, counted).await;
    killed.process.kill();
    let load = running.await.unwrap().unwrap();
    let verdict = observer
        .settle(&load.history, &before, TIMEOUT)
        .await
        .unwrap();
    assert_eq!(verdict.violations, []);
    assert!(
        load.latencies.not_sent.count() > 0,
        "the replica was killed during the run"
    );
    assert!(load.latencies.accepted.count() > 0);
    assert_eq!(load.latencies.attempts(), 1200);
}

async fn replicas_with_different_cookie_keys_are_reported(storage: Storage) {
    let keys = ["ab".repeat(64), "cd".repeat(64)];
    let ([replica_a, replica_b], _worker, result) = with_replicas(&storage, [&keys[0], &keys[1]]);
    let observer = new_observer(&result.url, &storage).await;
    let before = first_observation(&observer).await;
    let load = Load::run(
        &plan(&[&replica_a.url, &replica_b.url], 60),
        CancellationToken::new(),
    )
    .await
    .unwrap();
    let after = observer.settle(&load.history, &before, Duration::ZERO);
    let violations = after.await.unwrap().violations;
    assert!(
        rules(&violations).contains(&"voter-mismatch"),
        "{violations:?}"
    );
}
