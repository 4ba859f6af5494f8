//! The load generator finds nothing to complain of where all is well, and names what is not.

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
    PATIENCE,
    app::App,
    eventually,
    process::{Process, Service, command, output},
    storage::{Storage, on_both_storages},
    viewer::{tally, until_votes},
    voter::Voter,
};

on_both_storages! {
    voters_who_change_their_minds_are_all_counted,
    the_program_reports_what_it_found,
    what_is_changed_behind_its_back_is_named,
    the_program_fails_where_votes_are_wrong,
    a_killed_replica_leaves_doubts_and_costs_no_vote,
    replicas_that_do_not_know_each_others_voters_are_named,
}

/// So many votes by a dozen voters.
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
        request_timeout: PATIENCE,
    }
}

async fn watch(result: &str, storage: &Storage) -> Observer {
    let store = storage.store_config();
    Observer::new(result.parse().unwrap(), Some(&store))
        .await
        .unwrap()
}

/// What there is, as soon as the services have begun.
async fn first_look(watch: &Observer) -> Observation {
    let look = async || {
        watch
            .observe_baseline()
            .await
            .map_err(|error| error.to_string())
    };
    eventually("a first look", Result::is_ok, look)
        .await
        .unwrap()
}

fn rules(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(Violation::rule).collect()
}

async fn voters_who_change_their_minds_are_all_counted(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    until_votes(&app.result, &[1, 0]).await;
    let watch = watch(&app.result, &storage).await;
    let before = watch.observe_baseline().await.unwrap();
    let load = Load::run(&plan(&[&app.vote], 300), CancellationToken::new())
        .await
        .unwrap();
    let verdict = watch
        .settle(&load.history, &before, PATIENCE)
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
    assert!(load.history.voters.iter().any(changed), "minds are changed");
    app.stop().await;
}

async fn the_program_reports_what_it_found(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    until_votes(&app.result, &[0, 0]).await;
    let json = storage.folder.path().join("report.json");
    let run = |variables: &[(&str, &str)]| {
        let urls = [
            ("LOAD_VOTE_URL", &*app.vote),
            ("LOAD_RESULT_URL", &app.result),
        ];
        let mut load = command("load", &[&urls, variables].concat());
        let arguments = ["--votes", "60", "--voters", "7", "--rate", "600", "--json"];
        let ended = block_in_place(|| output(load.args(arguments).arg(&json)));
        let said = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success(), "{said}");
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        (said, report)
    };
    let (said, report) = run(&[("DATABASE_URL", &storage.database_url)]);
    assert!(
        said.contains("voters accepted 7 ⊆ counted 7 ⊆ attempted 7, lost 0"),
        "{said}"
    );
    assert_eq!(report["outcomes"]["accepted"]["count"], 60, "{report}");
    assert_eq!(report["store_checked"], true);
    assert!(report["violations"].as_array().unwrap().is_empty());
    // Once more, with votes that are there already, and from outside only.
    let (said, report) = run(&[]);
    assert!(said.contains("; 7 votes before"), "{said}");
    assert_eq!(
        (&report["counted_voters"], &report["store_checked"]),
        (&7.into(), &false.into())
    );
    app.stop().await;
}

async fn what_is_changed_behind_its_back_is_named(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    until_votes(&app.result, &[0, 0]).await;
    let watch = watch(&app.result, &storage).await;
    let stranger = "f".repeat(32);
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
            "INSERT INTO votes (id, vote, cast_ms, cast_seq) VALUES ('STRANGER', 'a', 1, 1)",
            "unknown",
        ),
        (
            "UPDATE tally SET votes = votes + 1 WHERE option = 'a'",
            "tally",
        ),
    ];
    for (statement, rule) in cases {
        let before = watch.observe_baseline().await.unwrap();
        let load = Load::run(&plan(&[&app.vote], 40), CancellationToken::new())
            .await
            .unwrap();
        let settled = watch.settle(&load.history, &before, PATIENCE);
        assert_eq!(
            rules(&settled.await.unwrap().violations),
            [""; 0],
            "before {statement}"
        );
        let voter = load.history.voters[0].voter.to_string();
        let statement = statement
            .replace("VOTER", &voter)
            .replace("STRANGER", &stranger);
        storage.execute(&statement).await;
        // At once: nothing that comes later would mend it.
        let after = watch.settle(&load.history, &before, Duration::ZERO);
        let violations = after.await.unwrap().violations;
        let found = violations.iter().find(|violation| violation.rule() == rule);
        let line = found
            .unwrap_or_else(|| panic!("{statement}: {violations:?}"))
            .to_string();
        let names = match rule {
            "unknown" => &stranger,
            "tally" => "\"a\"",
            _ => &voter,
        };
        assert!(line.contains(names), "{line}");
    }
    app.stop().await;
}

async fn the_program_fails_where_votes_are_wrong(storage: Storage) {
    // More than the program has voters.
    const STRANGERS: u64 = 2000;
    let tampering = format!(
        "DELETE FROM votes WHERE cast_ms = (SELECT min(cast_ms) FROM votes);
         INSERT INTO votes (id, vote, cast_ms, cast_seq)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {STRANGERS})
             SELECT 'stranger-' || i, 'b', 1, 1 FROM n;"
    );
    let app = App::start(&storage, &[]).await;
    until_votes(&app.result, &[0, 0]).await;
    for (database_url, names) in [
        (
            Some(&storage.database_url),
            "VIOLATION changed: a vote for \"a\"",
        ),
        (None, "VIOLATION reported-tally: the result page shows"),
    ] {
        storage.execute("DELETE FROM votes").await;
        Voter::new(&app.vote).must_vote_for("a").await;
        until_votes(&app.result, &[1, 0]).await;
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
        block_in_place(|| load.line_with("1 votes before"));
        storage.execute(&tampering).await;
        // The result page shows it too: only now there is something wrong to be seen from outside.
        let total = async || tally(&app.result).await["total"].as_u64();
        eventually("strangers", |total| *total >= Some(STRANGERS), total).await;
        load.signal(Signal::INT);
        let ended = block_in_place(|| load.wait());
        assert!(!ended.success());
        load.line_with(names);
        assert!(load.line_with("error: ").contains("broken"));
        // Its last votes are still on their way, and not to be there in the next round.
        let queue = storage.queue().await;
        let drained = async || queue.consumer("looks").trim().await.unwrap().oldest;
        eventually("an empty queue", Option::is_none, drained).await;
    }
    app.stop().await;
}

/// Every part as a process of its own, and two of `vote`, with these keys for cookies.
fn with_replicas(storage: &Storage, keys: [&str; 2]) -> ([Service; 2], Service, Service) {
    let result = Service::start("result", storage, &[]);
    let worker = Service::start("worker", storage, &[]);
    let vote = keys.map(|key| Service::start("vote", storage, &[("COOKIE_KEY", key)]));
    (vote, worker, result)
}

async fn a_killed_replica_leaves_doubts_and_costs_no_vote(storage: Storage) {
    let key = "ab".repeat(64);
    let ([mut killed, kept], _worker, result) = with_replicas(&storage, [&key, &key]);
    let watch = watch(&result.url, &storage).await;
    let before = first_look(&watch).await;
    let mut config = plan(&[&killed.url, &kept.url], 1200);
    config.plan.rate = Some(400.0);
    let running = tokio::spawn(async move { Load::run(&config, CancellationToken::new()).await });
    let counted = async || {
        storage
            .counted_if_ready()
            .await
            .iter()
            .map(|count| count.1)
            .sum()
    };
    eventually("votes", |counted: &i64| *counted > 6, counted).await;
    killed.process.kill();
    let load = running.await.unwrap().unwrap();
    let verdict = watch
        .settle(&load.history, &before, PATIENCE)
        .await
        .unwrap();
    assert_eq!(verdict.violations, []);
    assert!(load.latencies.not_sent.count() > 0, "it was killed in time");
    assert!(load.latencies.accepted.count() > 0);
    assert_eq!(load.latencies.attempts(), 1200);
}

async fn replicas_that_do_not_know_each_others_voters_are_named(storage: Storage) {
    let keys = ["ab".repeat(64), "cd".repeat(64)];
    let ([one, other], _worker, result) = with_replicas(&storage, [&keys[0], &keys[1]]);
    let watch = watch(&result.url, &storage).await;
    let before = first_look(&watch).await;
    let load = Load::run(&plan(&[&one.url, &other.url], 60), CancellationToken::new())
        .await
        .unwrap();
    let after = watch.settle(&load.history, &before, Duration::ZERO);
    let violations = after.await.unwrap().violations;
    assert!(
        rules(&violations).contains(&"voter-mismatch"),
        "{violations:?}"
    );
}
