//! User journeys of voters and viewers, from the voting page to the result page.

use jiff::{SignedDuration, Timestamp};
use poll::Clock;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{
    app::App,
    eventually,
    storage::{Backend, POLL_ID, Storage, on_both_storages},
    viewer::{Viewer, get, get_json, tally, votes, wait_for_votes},
    voter::{Voter, client},
};

on_both_storages! {
    a_vote_is_counted_and_can_be_changed,
    the_page_remembers_the_choice,
    the_api_accepts_votes,
    viewers_receive_new_votes,
    a_returning_viewer_receives_the_missed_tally,
    the_result_can_be_downloaded,
    a_poll_may_have_many_options,
    votes_are_accepted_only_while_the_poll_is_open,
    hidden_results_appear_when_the_poll_closes,
    votes_survive_a_restart,
}

async fn a_vote_is_counted_and_can_be_changed(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    assert_eq!(votes(&wait_for_votes(&app.result, &[0, 0]).await), [0, 0]);
    let voter = Voter::new(&app.vote);
    voter.must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    voter.must_vote_for("b").await;
    wait_for_votes(&app.result, &[0, 1]).await;
    Voter::new(&app.vote).must_vote_for("b").await;
    let tally = wait_for_votes(&app.result, &[0, 2]).await;
    assert_eq!(
        (&tally["total"], &tally["options"][1]["percent"]),
        (&json!(2), &json!(100.0))
    );
    app.stop().await;
}

async fn the_page_remembers_the_choice(storage: Storage) {
    let app = App::start(&storage, &["--poll-question", "Tea & biscuits?"]).await;
    let voter = Voter::new(&app.vote);
    let page = voter.get_page().await;
    assert_eq!(page.selected_options(), [""; 0]);
    assert!(
        page.html.contains("Tea &#38; biscuits?"),
        "settings are escaped as text: {}",
        page.html
    );
    assert!(page.html.contains("id=\"a\"") && page.html.contains("id=\"b\""));
    assert_eq!(voter.vote_for("b").await.selected_options(), ["b"]);
    assert_eq!(
        voter.get_page().await.selected_options(),
        ["b"],
        "after a reload"
    );
    assert_eq!(voter.vote_for("a").await.selected_options(), ["a"]);
    assert_eq!(voter.get_page().await.selected_options(), ["a"]);
    assert_eq!(
        Voter::new(&app.vote).get_page().await.selected_options(),
        [""; 0],
        "another voter"
    );
    app.stop().await;
}

async fn the_api_accepts_votes(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let (status, poll) = get_json(&format!("{}/api/poll", app.vote)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        poll,
        json!({
            "id": POLL_ID, "question": "Cats or Dogs?", "phase": "open", "opens_at": null, "closes_at": null, "results": "live",
            "options": [{"key": "a", "label": "Cats"}, {"key": "b", "label": "Dogs"}],
        })
    );
    let voter = Voter::new(&app.vote);
    let (status, receipt) = voter.api_vote(r#"{"choice": "a"}"#).await;
    assert_eq!(
        (status, &receipt["choice"]),
        (StatusCode::ACCEPTED, &json!("a"))
    );
    let ballot = receipt["ballot"].as_str().expect("a ballot has an id");
    assert!(
        ballot.split('-').all(|part| part.parse::<u64>().is_ok()),
        "{ballot}"
    );
    wait_for_votes(&app.result, &[1, 0]).await;
    assert_eq!(
        voter.get_page().await.selected_options(),
        ["a"],
        "the page and the API use the same voter"
    );
    app.stop().await;
}

async fn viewers_receive_new_votes(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let mut viewers = [
        Viewer::open(&app.result, None).await,
        Viewer::open(&app.result, None).await,
    ];
    for viewer in &mut viewers {
        viewer.wait_for_votes(&[0, 0]).await;
    }
    Voter::new(&app.vote).must_vote_for("a").await;
    let mut ids = Vec::new();
    for viewer in &mut viewers {
        ids.push(viewer.wait_for_votes(&[1, 0]).await.id);
    }
    assert_eq!(ids[0], ids[1], "all viewers receive the same event");
    let page = get(&app.result).await.text().await.unwrap();
    for text in ["1 vote", "100.0%", "Cats", "width=\"100%\""] {
        assert!(
            page.contains(text),
            "without a script the page shows {text}: {page}"
        );
    }
    app.stop().await;
}

async fn a_returning_viewer_receives_the_missed_tally(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let mut viewer = Viewer::open(&app.result, None).await;
    let seen = viewer.wait_for_votes(&[0, 0]).await;
    drop(viewer);
    let mut unchanged = Viewer::open(&app.result, Some(&seen.id)).await;
    let first = unchanged.next().await.expect("an event is sent at once");
    assert_eq!(first.kind, "heartbeat", "the tally has not changed");
    Voter::new(&app.vote).must_vote_for("b").await;
    let mut returning = Viewer::open(&app.result, Some(&seen.id)).await;
    let update = returning.wait_for_votes(&[0, 1]).await;
    assert_eq!(unchanged.wait_for_votes(&[0, 1]).await, update);
    app.stop().await;
}

async fn the_result_can_be_downloaded(storage: Storage) {
    let app = App::start(
        &storage,
        &[
            "--poll-options",
            "a=Cats,b=Dogs \"and\" wolves,-c==HYPERLINK(A1)",
        ],
    )
    .await;
    for choice in ["a", "b", "b"] {
        Voter::new(&app.vote).must_vote_for(choice).await;
    }
    wait_for_votes(&app.result, &[1, 2, 0]).await;
    let csv = get(&format!("{}/api/tally.csv", app.result))
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(
        csv,
        "key,label,votes,percent\na,Cats,1,33.3\nb,\"Dogs \"\"and\"\" wolves\",2,66.7\n\'-c,\'=HYPERLINK(A1),0,0.0\n"
    );
    let marked = get(&format!("{}/api/tally.csv?bom=1", app.result)).await;
    let marked = marked.bytes().await.unwrap();
    assert_eq!(marked, format!("\u{feff}{csv}"));
    let (status, problem) = get_json(&format!("{}/api/tally.csv?bom=yes", app.result)).await;
    assert_eq!(status, 400);
    assert_eq!(
        problem["detail"],
        "The parameter bom must be 0 or 1 and may be given only once."
    );
    let counted = |timeline: &Value| -> u64 {
        let steps = timeline["steps"].as_array().map(Vec::as_slice);
        let votes = |step: &Value| step["votes"].as_object().cloned().unwrap_or_default();
        let votes = steps.unwrap_or_default().iter().flat_map(votes);
        votes.filter_map(|(_, votes)| votes.as_u64()).sum()
    };
    let timeline = eventually(
        "a timeline with all votes",
        |timeline| counted(timeline) == 3,
        async || get_json(&format!("{}/api/timeline", app.result)).await.1,
    )
    .await;
    assert_eq!(timeline["step_seconds"], 10);
    app.stop().await;
}

async fn a_poll_may_have_many_options(storage: Storage) {
    let options: Vec<_> = (1..=20).map(|n| format!("o-{n}=Option {n}")).collect();
    let app = App::start(&storage, &["--poll-options", &options.join(",")]).await;
    for n in [20, 20, 3] {
        Voter::new(&app.vote).must_vote_for(&format!("o-{n}")).await;
    }
    let mut expected = [0; 20];
    (expected[19], expected[2]) = (2, 1);
    let tally = wait_for_votes(&app.result, &expected).await;
    let percents = tally["options"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|option| option["percent"].as_f64());
    assert!((percents.sum::<f64>() - 100.0).abs() < 1e-9);
    app.stop().await;
}

async fn votes_are_accepted_only_while_the_poll_is_open(storage: Storage) {
    let time_after = |seconds| (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string();
    let early = App::start(&storage, &["--poll-opens-at", &time_after(3600)]).await;
    let page = Voter::new(&early.vote).vote_for("a").await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    early.stop().await;

    let late = App::start(&storage, &["--poll-closes-at", &time_after(-1)]).await;
    let page = Voter::new(&late.vote).vote_for("a").await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    let (status, problem) = Voter::new(&late.vote).api_vote(r#"{"choice":"a"}"#).await;
    assert_eq!(
        (status, &problem["type"]),
        (StatusCode::CONFLICT, &json!("/problems/poll-closed"))
    );
    late.stop().await;
    assert_eq!(
        storage
            .queue()
            .await
            .consumer("observer")
            .trim()
            .await
            .unwrap()
            .oldest,
        None,
        "nothing was queued"
    );
}

/// The page is rendered once for all voters, so it contains no current time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_stays_the_same_until_the_poll_closes() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let now = Timestamp::now();
    let (clock, clock_control) = Clock::manual(now);
    let closes_at = now + SignedDuration::from_hours(1);
    let flags = ["--poll-closes-at", &closes_at.to_string()];
    let app = App::start_with_clock(clock, &storage, &flags).await;
    let page = async || {
        // Other browsers get a page with a token of their own.
        let request = client().get(&app.vote).header("sec-fetch-site", "none");
        request.send().await.unwrap().text().await.unwrap()
    };
    let open = page().await;
    let time = format!("<time datetime=\"{closes_at}\">");
    assert!(open.contains(&time), "{open}");
    clock_control.set(closes_at - SignedDuration::from_millis(1));
    assert_eq!(page().await, open);
    clock_control.set(closes_at);
    let closed = page().await;
    assert!(closed.contains("Voting is over."), "{closed}");
    app.stop().await;
}

async fn hidden_results_appear_when_the_poll_closes(storage: Storage) {
    let closes_at = Timestamp::now() + SignedDuration::from_hours(1);
    let (clock, clock_control) = Clock::manual(Timestamp::now());
    let flags = [
        "--poll-closes-at",
        &closes_at.to_string(),
        "--poll-results",
        "after-close",
    ];
    let app = App::start_with_clock(clock, &storage, &flags).await;
    Voter::new(&app.vote).must_vote_for("b").await;
    let mut viewer = Viewer::open(&app.result, None).await;
    let hidden = crate::harness::eventually(
        "the vote",
        |tally: &Value| tally["total"] == 1,
        async || tally(&app.result).await,
    )
    .await;
    assert_eq!(
        (&hidden["visible"], &hidden["options"][1]["votes"]),
        (&json!(false), &json!(null))
    );
    let page = get(&app.result).await.text().await.unwrap();
    assert!(
        page.contains("shown when voting has ended") && !page.contains("100.0%"),
        "{page}"
    );
    for path in ["/api/tally.csv", "/api/timeline"] {
        let (status, problem) = get_json(&format!("{}{path}", app.result)).await;
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::FORBIDDEN, &json!("/problems/result-hidden"))
        );
    }
    clock_control.set(closes_at);
    viewer.wait_for_votes(&[0, 1]).await;
    assert_eq!(
        get(&format!("{}/api/tally.csv", app.result)).await.status(),
        StatusCode::OK
    );
    app.stop().await;
}

async fn votes_survive_a_restart(storage: Storage) {
    let first = App::start(&storage, &[]).await;
    let voter = Voter::new(&first.vote);
    voter.must_vote_for("a").await;
    wait_for_votes(&first.result, &[1, 0]).await;
    first.stop().await;
    let second = App::start(&storage, &[]).await;
    wait_for_votes(&second.result, &[1, 0]).await;
    second.stop().await;
}
