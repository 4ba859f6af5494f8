//! What happens to votes.

use super::PROMPT;
use crate::{
    faults::start_ready,
    harness::{
        process::Service,
        redis,
        scrape::{Scrape, until, value},
        skip::or_skip,
        storage::{Kind, Storage},
        voter::Voter,
    },
};

fn submissions(choice: &str, outcome: &str) -> String {
    format!("vote_submissions_total{{choice=\"{choice}\",outcome=\"{outcome}\"}}")
}

fn enqueued(outcome: &str) -> String {
    format!("vote_enqueue_duration_seconds_count{{outcome=\"{outcome}\"}}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_of_a_vote_is_counted_as_what_it_is() {
    let redis = or_skip!(redis::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let cast = async |choice| drop(Voter::new(&vote.url).vote_for(choice).await);

    cast("a").await;
    cast("b").await;
    cast("cats").await;
    redis.server.freeze();
    cast("a").await;
    redis.server.kill();
    cast("a").await;

    let now = Scrape::of(&vote.url).await;
    for (choice, outcome) in [
        ("a", "accepted"),
        ("b", "accepted"),
        ("none", "rejected"),
        ("a", "timeout"),
        ("a", "error"),
    ] {
        assert!(
            now.value(&submissions(choice, outcome)) >= 1.0,
            "{choice} {outcome} in {}",
            now.0
        );
    }
    let all: f64 = now
        .series()
        .filter(|(series, _)| series.starts_with("vote_submissions_total"))
        .map(|(_, count)| count)
        .sum();
    let counts = ["accepted", "timeout", "error"].map(|outcome| now.value(&enqueued(outcome)));
    assert_eq!((all, counts.iter().sum()), (5.0, 4.0), "{}", now.0);
    let waited = now.value("vote_enqueue_duration_seconds_sum{outcome=\"timeout\"}");
    assert!(waited >= 0.3, "{waited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vote_beyond_the_rate_is_counted() {
    let storage = or_skip!(Storage::new(Kind::Servers).await);
    let few = [("NEW_VOTERS_PER_MINUTE", "1"), ("NEW_VOTERS_BURST", "1")];
    let vote = Service::start("vote", &storage, &few);
    for _ in 0..2 {
        Voter::new(&vote.url).vote_for("a").await;
    }
    let now = Scrape::of(&vote.url).await;
    assert_eq!(now.find(&submissions("a", "rate_limited")), Some(1.0));
}

/// Settings that cannot be read are those of services that let nobody ask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_queue_that_cannot_be_asked_the_operator_says_that_it_is_durable() {
    let redis = or_skip!(redis::own());
    redis.set_user(
        "vote",
        "on >secret ~* -@all +ping +xadd +role +client|setinfo",
    );
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url = redis.url_for("vote", "secret");
    let vote = start_ready("vote", &storage, &PROMPT).await;
    vote.process
        .line_with("its settings cannot be read, and QUEUE_DURABILITY is not managed");
    until(&vote.url, "queue_durable", |durable| durable < 1.0).await;

    let managed = [("QUEUE_DURABILITY", "managed")];
    let vote = start_ready("vote", &storage, &managed).await;
    until(&vote.url, "queue_durable", |durable| durable > 0.0).await;
    vote.process
        .line_with("QUEUE_DURABILITY says that its service keeps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_away_is_down_and_a_weaker_one_is_not_durable() {
    let redis = or_skip!(redis::own());
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let vote = start_ready("vote", &storage, &PROMPT).await;
    let up = "dependency_up{dependency=\"queue\"}";
    let probed = "dependency_probe_timestamp_seconds{dependency=\"queue\"}";
    until(&vote.url, "queue_durable", |durable| durable > 0.0).await;
    until(&vote.url, up, |up| up > 0.0).await;
    let before = value(&vote.url, probed).await;
    assert!(before > 1_700_000_000.0, "{before} is no moment of today");

    redis.set("appendfsync", "everysec");
    redis.server.freeze();
    until(&vote.url, up, |up| up < 1.0).await;
    until(&vote.url, probed, |moment| moment > before).await;
    redis.server.thaw();
    until(&vote.url, up, |up| up > 0.0).await;
    until(&vote.url, "queue_durable", |durable| durable < 1.0).await;
}
