//! The statements of docs/api.md hold.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use web::ProblemKind;

use crate::harness::{
    app::App,
    document::Document,
    storage::{Backend, Storage, on_both_storages},
    viewer::{Event, Viewer, get},
    voter::Voter,
};

on_both_storages! {
    events_are_as_documented,
}

const API_GUIDE: &str = include_str!("../docs/api.md");

async fn events_are_as_documented(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let document = Document::of(&app.result).await;
    let mut viewer = Viewer::open(&app.result, None).await;
    let first = viewer.wait_for_votes(&[0, 0]).await;
    check_event(&document, &first);
    let tag = get(&format!("{}/api/tally", app.result)).await.headers()["etag"].clone();
    assert_eq!(
        tag,
        format!("W/\"{}\"", first.id),
        "the id is the entity tag"
    );
    let mut returning = Viewer::open(&app.result, Some(&first.id)).await;
    let heartbeat = returning.next().await.expect("a heartbeat is sent");
    assert_eq!(
        heartbeat.kind, "heartbeat",
        "a known tally is not sent again"
    );
    check_event(&document, &heartbeat);
    Voter::new(&app.vote).must_vote_for("a").await;
    check_event(&document, &returning.wait_for_votes(&[1, 0]).await);
    app.stop().await;
}

/// Checks that docs/api.md names this kind of event, and that the event has the documented content.
fn check_event(document: &Document, event: &Event) {
    assert!(
        API_GUIDE.contains(&format!("\nevent: {}\n", event.kind)),
        "{event:?}"
    );
    let data: Value = serde_json::from_str(&event.data).expect("the data is JSON");
    check_event_data(document, &event.kind, &event.id, &data);
    assert_eq!(event.id.is_empty(), event.kind == "heartbeat", "{event:?}");
}

fn check_event_data(document: &Document, kind: &str, id: &str, data: &Value) {
    assert!(matches!(kind, "tally" | "heartbeat"), "{kind}");
    let mut event = json!({"event": kind, "data": data});
    if !id.is_empty() {
        event["id"] = id.into();
    }
    document.check_schema("Event", &event);
}

/// The code blocks of docs/api.md in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    API_GUIDE
        .split(&*fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

#[test]
fn the_guide_lists_exactly_the_problems_of_the_api() {
    let row = |kind: &ProblemKind| {
        format!(
            "| {} | `{}` | {} |",
            kind.status().as_u16(),
            kind.uri(),
            kind.description()
        )
    };
    let known: BTreeSet<_> = ProblemKind::ALL.iter().map(row).collect();
    let named = API_GUIDE
        .lines()
        .filter(|line| line.contains("| `/problems/"));
    assert_eq!(named.map(str::to_owned).collect::<BTreeSet<_>>(), known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_examples_of_the_guide_match_the_schemas() {
    let storage = Storage::new(Backend::Embedded).await.unwrap();
    let app = App::start(&storage, &[]).await;
    let (vote, result) = (
        Document::of(&app.vote).await,
        Document::of(&app.result).await,
    );
    let schema_of = |path: &str| match path {
        "/api/poll" => (&vote, "PollDocument"),
        "/api/votes" => (&vote, "ReceiptDocument"),
        "/api/tally" => (&result, "TallyDocument"),
        "/api/timeline" => (&result, "TimelineDocument"),
        "problem" => (&vote, "Problem"),
        other => panic!("there is no schema for {other:?}"),
    };
    let examples = blocks("json");
    assert_eq!(examples.len(), 5);
    for (path, example) in [
        "/api/poll",
        "/api/votes",
        "/api/tally",
        "/api/timeline",
        "problem",
    ]
    .into_iter()
    .zip(examples)
    {
        let example =
            serde_json::from_str(example).unwrap_or_else(|error| panic!("{path}: {error}"));
        let (document, schema) = schema_of(path);
        document.check_schema(schema, &example);
    }
    let [stream] = blocks("text/event-stream")[..] else {
        panic!("there is one example of a stream");
    };
    let mut kinds = BTreeSet::new();
    for event in stream.split("\n\n") {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let Some(kind) = field("event: ") else {
            assert_eq!(field("retry: ").map(str::trim), Some("1000"));
            continue;
        };
        let data = serde_json::from_str(field("data: ").expect("an event has data")).unwrap();
        let id = field("id: ").unwrap_or_default();
        check_event_data(&result, kind, id, &data);
        kinds.insert(kind);
    }
    assert_eq!(kinds, BTreeSet::from(["heartbeat", "tally"]));
    app.stop().await;
}

#[test]
fn the_guide_lists_the_statuses_with_retry_after() {
    let statuses: BTreeSet<_> = ProblemKind::ALL
        .iter()
        .filter(|kind| kind.has_retry_after())
        .map(|kind| kind.status().as_u16().to_string())
        .collect();
    let statuses: Vec<_> = statuses.into_iter().collect();
    assert!(API_GUIDE.contains(&format!(". {} have `Retry-After`", statuses.join(" and "))));
}

#[test]
fn the_guide_says_which_unconfirmed_votes_may_be_stored() {
    for kind in ProblemKind::ALL {
        let description = kind.description();
        let is_certain = description.contains("not stored");
        let expected = match kind {
            ProblemKind::QueueUnavailable | ProblemKind::TimedOut => {
                assert!(
                    description.contains("may or may not be stored"),
                    "{description}"
                );
                false
            }
            ProblemKind::Overloaded | ProblemKind::TooManyConnections => true,
            _ => continue,
        };
        assert_eq!(is_certain, expected, "{kind:?}");
    }
    let paragraph = "after `/problems/overloaded`\nand `/problems/too-many-connections` it was not stored either";
    assert!(API_GUIDE.contains(paragraph));
}

#[test]
fn the_guide_names_every_path_and_the_heartbeat_interval() {
    for path in [
        "/api/poll",
        "/api/votes",
        "/api/openapi.json",
        "/api/tally",
        "/api/tally.csv",
        "/api/timeline",
        "/events",
    ] {
        assert!(API_GUIDE.contains(path), "{path}");
    }
    let seconds = result::HEARTBEAT_INTERVAL.as_secs();
    assert!(
        API_GUIDE.contains(&format!("after {seconds} seconds without")),
        "{seconds}"
    );
}
