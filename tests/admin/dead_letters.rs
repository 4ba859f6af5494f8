//! `worker admin dead-letters`.

use poll::ballot::VoterId;
use serde_json::Value;

use super::{admin, dead_letters, stdout_of};
use crate::harness::storage::{Storage, on_both_storages};

on_both_storages! {
    dead_letters_are_listed_with_their_reason,
    control_characters_and_invalid_times_do_not_break_the_list,
}

async fn dead_letters_are_listed_with_their_reason(storage: Storage) {
    storage.store().await;
    assert_eq!(
        stdout_of(&mut admin(&storage, &["dead-letters"], &[])),
        "no dead letters\n"
    );
    let json = ["dead-letters", "--format", "json"];
    assert_eq!(stdout_of(&mut admin(&storage, &json, &[])), "");

    let voter = VoterId::random().to_string();
    let before = jiff::Timestamp::now().as_millisecond();
    let letters = dead_letters(
        &storage,
        &[
            &[("voter", &voter), ("choice", "c")],
            &[("more", "\u{1b}[2J\u{9b}2J")],
        ],
    )
    .await;
    let lines = stdout_of(&mut admin(&storage, &json, &[]));
    let listed: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let listed_ids: Vec<_> = listed.iter().map(|letter| &letter["ballot"]).collect();
    assert_eq!(listed_ids, letters.iter().collect::<Vec<_>>());
    assert_eq!(
        listed[0]["payload"],
        serde_json::json!({"voter": voter, "choice": "c"})
    );
    for letter in &listed {
        let received: jiff::Timestamp = letter["received_at"].as_str().unwrap().parse().unwrap();
        let now = jiff::Timestamp::now().as_millisecond();
        assert!(
            (before..=now).contains(&received.as_millisecond()),
            "{letter}"
        );
    }

    let text = stdout_of(&mut admin(&storage, &["dead-letters"], &[]));
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{}  received 20", letters[0])),
        "{text}"
    );
    assert!(
        lines[1].contains("\"c\" is not a choice") && lines[2].contains(&voter),
        "{text}"
    );
    assert!(
        lines[4].contains("no field \"voter\"") && text.contains("[2J"),
        "{text}"
    );
    assert!(
        !text.contains(['\u{1b}', '\u{9b}']),
        "control characters in {text:?}"
    );
}

/// Entries of the queue can contain any text.
async fn control_characters_and_invalid_times_do_not_break_the_list(storage: Storage) {
    let voter = "\u{1b}[2J\u{202e}abc\u{2066}";
    let long = "x".repeat(5000);
    let entries: [&[(&str, &str)]; 3] = [
        &[("voter", voter), ("choice", "a")],
        &[("nonsense", &long)],
        &[("nonsense", "with an invalid time")],
    ];
    let ids = dead_letters(&storage, &entries).await;
    let is_server = storage.database.is_some();
    let invalid = if is_server {
        "infinity"
    } else {
        "no time at all"
    };
    let last = &ids[2];
    let change =
        format!("UPDATE dead_letters SET received_at = '{invalid}' WHERE ballot = '{last}'");
    storage.execute(&change).await;

    let text = stdout_of(&mut admin(&storage, &["dead-letters"], &[]));
    let lines = stdout_of(&mut admin(
        &storage,
        &["dead-letters", "--format", "json"],
        &[],
    ));
    for listed in [&text, &lines] {
        let is_unsafe =
            |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{2066}".contains(*c);
        assert_eq!(listed.chars().find(is_unsafe), None, "{listed}");
        assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    }
    let longest = text.lines().map(str::len).max();
    assert!(longest.is_some_and(|longest| longest < 1200), "{longest:?}");
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["payload"]["voter"], voter,
        "JSON keeps the original text"
    );
}
