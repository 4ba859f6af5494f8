//! Several polls in one store: each vote is counted in the poll for which it was accepted.

use jiff::{SignedDuration, Timestamp};
use poll::{
    Poll,
    ballot::{BallotId, VoterId},
};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use store::Store;
use tempfile::NamedTempFile;

use crate::{
    admin::{admin, stdout_of},
    faults::start_ready,
    harness::{
        app::App,
        eventually,
        process::Service,
        storage::{POLL_ID, Storage, on_both_storages, poll},
        viewer::{get_json, wait_for_votes},
        voter::{Voter, client},
    },
    store_contract::assert_counts_are_right,
};

on_both_storages! {
    other_settings_are_another_poll_and_the_votes_of_both_stay,
    a_poll_keeps_its_votes_while_its_wording_changes,
    a_vote_for_another_poll_is_rejected_and_never_counted,
    queued_votes_are_counted_in_the_poll_in_which_they_were_accepted,
    ballots_of_an_unknown_poll_wait_until_it_is_known,
    a_reset_deletes_the_votes_of_its_poll_only,
    a_voter_can_be_forgotten_in_all_polls,
    all_polls_are_listed_and_shown,
    a_hidden_result_stays_hidden_in_the_list_of_polls,
}

const FORM: &str = "application/x-www-form-urlencoded";
const TEA: [&str; 4] = ["--poll-question", "Tea or Coffee?", "--poll-id", "tea"];

/// A file with the cookie key, so that voters are recognised after a restart.
struct CookieKeyFile(NamedTempFile);

impl CookieKeyFile {
    fn new() -> Self {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "5a".repeat(64)).unwrap();
        Self(file)
    }

    /// These flags and that of the file.
    fn with<'a>(&'a self, flags: &[&'a str]) -> Vec<&'a str> {
        let file = self.0.path().to_str().unwrap();
        [flags, &["--cookie-key-file", file]].concat()
    }
}

async fn other_settings_are_another_poll_and_the_votes_of_both_stay(storage: Storage) {
    let key = CookieKeyFile::new();
    let voter = Voter::new("");
    let app = App::start(&storage, &key.with(&[])).await;
    voter.at(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    app.stop().await;

    let app = App::start(&storage, &key.with(&TEA)).await;
    let tally = wait_for_votes(&app.result, &[0, 0]).await;
    assert_eq!(
        (&tally["poll"], &tally["total"]),
        (&json!("tea"), &json!(0))
    );
    let page = voter.at(&app.vote).get_page().await;
    assert_eq!(page.selected_options(), [""; 0], "no vote in this poll yet");
    voter.at(&app.vote).must_vote_for("b").await;
    wait_for_votes(&app.result, &[0, 1]).await;
    let timeline = format!("{}/api/timeline", app.result);
    eventually(
        "the timeline",
        |poll: &Value| poll == "tea",
        async || get_json(&timeline).await.1["poll"].clone(),
    )
    .await;
    app.stop().await;

    let app = App::start(&storage, &[]).await;
    let tally = wait_for_votes(&app.result, &[1, 0]).await;
    assert_eq!(tally["poll"], POLL_ID);
    app.stop().await;
    assert_counts_are_right(&storage).await;

    let listed = stdout_of(&mut admin(&storage, &["polls"], &[]));
    assert_eq!(
        listed,
        format!(
            "{POLL_ID}  1 vote  Cats or Dogs?  (of the settings)\ntea  1 vote  Tea or Coffee?\n"
        )
    );
    // One person, but the store has two ids, neither of which is in the cookie.
    let exported = stdout_of(&mut admin(&storage, &["export"], &[]));
    let voters: Vec<_> = exported
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(1))
        .collect();
    assert_eq!(voters.len(), 2);
    assert_ne!(voters[0], voters[1]);
}

async fn a_poll_keeps_its_votes_while_its_wording_changes(storage: Storage) {
    let app = App::start(&storage, &TEA).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    app.stop().await;
    let reworded = [
        "--poll-id",
        "tea",
        "--poll-question",
        "Green or black tea?",
        "--poll-options",
        "b=Black,a=Green,c=None",
    ];
    let app = App::start(&storage, &reworded).await;
    let tally = wait_for_votes(&app.result, &[0, 1, 0]).await;
    assert_eq!(tally["options"][1]["label"], "Green");
    let listed = async || stdout_of(&mut admin(&storage, &["polls"], &[]));
    let is_new = |listed: &String| listed == "tea  1 vote  Green or black tea?\n";
    eventually("the new wording", is_new, listed).await;
    app.stop().await;
}

async fn a_vote_for_another_poll_is_rejected_and_never_counted(storage: Storage) {
    let app = App::start(&storage, &TEA).await;
    let voter = Voter::new(&app.vote);
    let page = voter.get_page().await;
    assert!(
        page.html
            .contains("<input type=\"hidden\" name=\"poll\" value=\"tea\">"),
        "{}",
        page.html
    );
    let rejected = voter.post(FORM, format!("vote=a&poll={POLL_ID}")).await;
    assert_eq!(rejected.status, StatusCode::CONFLICT);
    for text in ["There is a new question.", "Tea or Coffee?"] {
        assert!(rejected.html.contains(text), "{}", rejected.html);
    }
    assert_eq!(rejected.selected_options(), [""; 0]);

    let send = async |document: Value| {
        let request = client().post(format!("{}/api/votes", app.vote));
        request.json(&document).send().await.unwrap()
    };
    let rejected = send(json!({"choice": "a", "poll": POLL_ID})).await;
    assert_eq!(rejected.status(), StatusCode::CONFLICT);
    let problem: Value = rejected.json().await.unwrap();
    assert_eq!(problem["type"], "/problems/other-poll");
    assert_eq!(
        problem["detail"],
        "The vote is for another poll and was not counted. The question now is \"Tea or Coffee?\"."
    );

    // Without a poll, and with the current one, the vote is accepted.
    let (_, document) = get_json(&format!("{}/api/poll", app.vote)).await;
    assert_eq!(document["id"], "tea");
    for document in [
        json!({"choice": "b"}),
        json!({"choice": "b", "poll": null}),
        json!({"choice": "b", "poll": document["id"]}),
    ] {
        let accepted = send(document).await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
        assert!(accepted.headers().contains_key(header::SET_COOKIE));
        let receipt: Value = accepted.json().await.unwrap();
        assert_eq!(receipt["poll"], "tea");
    }
    voter.post(FORM, "vote=b&poll=tea").await;
    wait_for_votes(&app.result, &[0, 4]).await;
    app.stop().await;
}

async fn queued_votes_are_counted_in_the_poll_in_which_they_were_accepted(storage: Storage) {
    // A worker with the first poll has run once.
    let app = App::start(&storage, &[]).await;
    wait_until_recorded(&storage.store().await, POLL_ID).await;
    app.stop().await;
    let vote = start_ready("vote", &storage, &[]).await;
    for _ in 0..3 {
        Voter::new(&vote.url).must_vote_for("a").await;
    }
    drop(vote);
    let app = App::start(&storage, &TEA).await;
    Voter::new(&app.vote).must_vote_for("b").await;
    wait_for_votes(&app.result, &[0, 1]).await;
    let store = storage.store().await;
    wait_for_tally(&store, &poll(), &[3, 0]).await;
    app.stop().await;
    assert_eq!(store.dead_letters().await.unwrap(), []);
    assert_counts_are_right(&storage).await;
}

async fn ballots_of_an_unknown_poll_wait_until_it_is_known(storage: Storage) {
    let store = storage.store().await;
    let worker = start_ready("worker", &storage, &[]).await;
    for choice in ["x", "x", "y", "no-option"] {
        let voter = VoterId::random().to_string();
        let entry = [("voter", &*voter), ("poll", "tea"), ("choice", choice)];
        storage.enqueue_raw(&entry).await;
    }
    let letters = async || store.dead_letters().await.unwrap();
    let waiting = eventually("4 letters", |letters: &Vec<_>| letters.len() == 4, letters).await;
    assert!(waiting.iter().all(|letter| letter.waits_for_poll));
    let text = stdout_of(&mut admin(&storage, &["dead-letters"], &[]));
    assert!(
        text.contains("  poll tea\n") && text.contains("the poll tea is unknown"),
        "{text}"
    );

    let settings = [("POLL_ID", "tea"), ("POLL_OPTIONS", "x=Tea,y=Coffee")];
    let other = Service::start("worker", &storage, &settings);
    let poll = Poll {
        id: "tea".parse().unwrap(),
        options: "x=Tea,y=Coffee".parse().unwrap(),
        ..poll()
    };
    wait_for_tally(&store, &poll, &[2, 1]).await;
    let rejected = eventually(
        "1 letter",
        |letters: &Vec<_>| letters.len() == 1 && !letters[0].waits_for_poll,
        letters,
    )
    .await;
    assert!(
        rejected[0].reason.contains("the choices are: x, y"),
        "{rejected:?}"
    );
    // A vote keeps the id of its ballot.
    let ids: Vec<BallotId> = waiting.iter().map(|letter| letter.id).collect();
    let cast_ms = storage
        .rows("SELECT poll, max(cast_ms) FROM votes GROUP BY poll")
        .await;
    assert_eq!(
        cast_ms,
        [("tea".to_owned(), ids[2].ms.cast_signed())],
        "{ids:?}"
    );
    drop((worker, other));
    assert_counts_are_right(&storage).await;
}

async fn a_reset_deletes_the_votes_of_its_poll_only(storage: Storage) {
    for flags in [&[][..], &TEA] {
        let app = App::start(&storage, flags).await;
        Voter::new(&app.vote).must_vote_for("a").await;
        wait_for_votes(&app.result, &[1, 0]).await;
        app.stop().await;
    }
    let settings = [("POLL_ID", "tea"), ("POLL_QUESTION", "Tea or Coffee?")];
    let reset = ["reset", "--confirm", "Tea or Coffee?"];
    let printed = stdout_of(&mut admin(&storage, &reset, &settings));
    assert!(
        printed.contains("deleted 1 vote and 0 dead letters"),
        "{printed}"
    );
    let store = storage.store().await;
    let tea = "tea".parse().unwrap();
    assert_eq!(store.tally(&tea).await.unwrap().total(), 0);
    assert_eq!(store.timeline_extent(&tea).await.unwrap(), None);
    assert_eq!(store.tally(&poll().id).await.unwrap().total(), 1);
    assert_counts_are_right(&storage).await;
}

async fn wait_until_recorded(store: &Store, id: &str) {
    eventually(
        "the recorded poll",
        |ids: &Vec<String>| ids.iter().any(|recorded| recorded == id),
        async || {
            let polls = store.polls().await.unwrap();
            polls
                .iter()
                .map(|recorded| recorded.poll.id.to_string())
                .collect()
        },
    )
    .await;
}

async fn wait_for_tally(store: &Store, poll: &Poll, expected: &[u64]) {
    eventually(
        "the tally",
        |votes: &Vec<u64>| votes == expected,
        async || {
            let tally = store.tally(&poll.id).await.unwrap();
            let options = poll.options.iter();
            options
                .map(|option| tally.votes(option.key.as_str()))
                .collect()
        },
    )
    .await;
}

async fn a_voter_can_be_forgotten_in_all_polls(storage: Storage) {
    let key = CookieKeyFile::new();
    let (voter, other) = (Voter::new(""), Voter::new(""));
    let mut shown = String::new();
    for flags in [&[][..], &TEA] {
        let app = App::start(&storage, &key.with(flags)).await;
        for voter in [&voter, &other] {
            voter.at(&app.vote).must_vote_for("a").await;
        }
        wait_for_votes(&app.result, &[2, 0]).await;
        let without_cookie = Voter::new(&format!("{}?voter-id", app.vote))
            .get_page()
            .await;
        assert!(
            without_cookie.html.contains("has no voter id yet"),
            "{}",
            without_cookie.html
        );
        let page = voter.at(&format!("{}?voter-id", app.vote)).get_page().await;
        let (_, id) = page.html.split_once("<code id=\"voter_id\">").unwrap();
        id[..32].clone_into(&mut shown);
        app.stop().await;
    }
    // A dead letter of this voter contains an id, too.
    let voter_id: VoterId = shown.parse().unwrap();
    let in_poll = voter_id.in_poll(&poll().id).to_string();
    storage
        .enqueue_raw(&[("voter", &in_poll), ("choice", "no-option")])
        .await;
    let worker = start_ready("worker", &storage, &[]).await;
    let store = storage.store().await;
    let letters = async || store.dead_letters().await.unwrap().len();
    eventually("a dead letter", |count| *count == 1, letters).await;
    for expected in [
        "deleted 2 votes and 1 dead letter\n",
        "deleted 0 votes and 0 dead letters\n",
    ] {
        let printed = stdout_of(&mut admin(&storage, &["forget", &shown], &[]));
        assert_eq!(printed, expected);
    }
    drop(worker);
    assert_eq!(storage.count_votes().await, [("a".to_owned(), 2)]);
    assert_counts_are_right(&storage).await;
}

async fn all_polls_are_listed_and_shown(storage: Storage) {
    for (flags, votes) in [(&[][..], ["a", "a", "b"]), (&TEA, ["b", "b", "b"])] {
        let app = App::start(&storage, flags).await;
        for choice in votes {
            Voter::new(&app.vote).must_vote_for(choice).await;
        }
        wait_until_total(&app.result, 3).await;
        app.stop().await;
    }
    let app = App::start(&storage, &TEA).await;
    wait_for_votes(&app.result, &[0, 3]).await;
    let list = async || {
        let (_, list) = get_json(&format!("{}/api/polls", app.result)).await;
        list
    };
    let (first, second) = ("Cats or Dogs?", "Tea or Coffee?");
    let expected = json!({"polls": [
        {"id": "tea", "question": second, "votes": 3, "current": true},
        {"id": POLL_ID, "question": first, "votes": 3, "current": false},
    ]});
    eventually("the list", |list: &Value| *list == expected, list).await;
    let page = async |path: &str| {
        let page = Voter::new(&format!("{}{path}", app.result))
            .get_page()
            .await;
        (page.status, page.html)
    };
    let (status, html) = page("/polls").await;
    assert_eq!(status, StatusCode::OK);
    for text in [first, second, "href=\"polls/tea\"", "3 votes · now"] {
        assert!(html.contains(text), "{text} is not in {html}");
    }
    for (id, question, outcome) in [
        (POLL_ID, first, Some("Cats wins with 66.7%.")),
        ("tea", second, None),
    ] {
        let (status, html) = page(&format!("/polls/{id}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(html.contains(question), "{html}");
        let outcome = outcome.map(str::to_owned);
        assert_eq!(html.contains("wins with"), outcome.is_some(), "{html}");
        assert!(outcome.is_none_or(|outcome| html.contains(&outcome)));

        let (_, tally) = get_json(&format!("{}/api/polls/{id}/tally", app.result)).await;
        assert_eq!((&tally["poll"], &tally["total"]), (&json!(id), &json!(3)));
        let timeline = format!("{}/api/polls/{id}/timeline", app.result);
        eventually(
            "the timeline",
            |poll: &Value| poll == id,
            async || get_json(&timeline).await.1["poll"].clone(),
        )
        .await;
        let table = format!("{}/api/polls/{id}/tally.csv", app.result);
        let table = client().get(table).send().await.unwrap().text().await;
        assert!(table.unwrap().starts_with("key,label,votes,percent\na,"));
    }
    for unknown in ["coffee", "No%20poll", "..%2Fapi"] {
        for path in [
            format!("/polls/{unknown}"),
            format!("/api/polls/{unknown}/tally"),
            format!("/api/polls/{unknown}/tally.csv"),
            format!("/api/polls/{unknown}/timeline"),
        ] {
            let (status, body) = page(&path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(body.contains("There is no poll with the id"), "{body}");
        }
    }
    app.stop().await;
}

/// The result of another poll is no way around its hidden result.
async fn a_hidden_result_stays_hidden_in_the_list_of_polls(storage: Storage) {
    let closes_at = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let hidden = [
        "--poll-results",
        "after-close",
        "--poll-closes-at",
        &closes_at,
    ];
    let app = App::start(&storage, &hidden).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_until_total(&app.result, 1).await;
    let paths = |api: &str| {
        [
            format!("/polls/{POLL_ID}"),
            format!("/api/polls/{POLL_ID}/{api}"),
        ]
    };
    let assert_hidden = async |app: &App| {
        let (_, tally) = get_json(&format!("{}{}", app.result, paths("tally")[1])).await;
        assert_eq!(tally["options"][0]["votes"], Value::Null, "{tally}");
        for api in ["tally.csv", "timeline"] {
            let url = format!("{}{}", app.result, paths(api)[1]);
            let response = client().get(url).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
        }
        let url = format!("{}{}", app.result, paths("")[0]);
        let html = Voter::new(&url).get_page().await.html;
        assert!(html.contains("id=\"hidden\""), "{html}");
        assert!(!html.contains("100.0%"), "{html}");
    };
    assert_hidden(&app).await;
    app.stop().await;
    let app = App::start(&storage, &TEA).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    assert_hidden(&app).await;
    app.stop().await;
}

async fn wait_until_total(result: &str, total: u64) {
    let tally = format!("{result}/api/tally");
    eventually(
        "the total",
        |found: &Value| *found == total,
        async || get_json(&tally).await.1["total"].clone(),
    )
    .await;
}
