//! Faults of the original voting app do not return, and behaviour that users rely on stays.

use std::{sync::Arc, time::Instant};

use reqwest::StatusCode;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::harness::{
    app::App,
    eventually, redis,
    skip::or_skip,
    storage::{Backend, Storage, on_both_storages},
    viewer::{get, tally, wait_for_votes},
    voter::{Voter, client},
};

on_both_storages! {
    three_thousand_scripted_posts_are_three_thousand_votes,
    a_300_character_post_does_not_break_the_worker,
    labels_are_the_same_on_both_pages,
    the_query_of_the_original_app_returns_the_tally,
    pages_load_nothing_from_other_sites,
    the_wording_of_totals_is_kept,
}

/// As `ab -n 3000 -c 50 -p` sends them: no cookie, no Origin. The original worker stored 10 votes per second.
async fn three_thousand_scripted_posts_are_three_thousand_votes(storage: Storage) {
    const POSTS: u64 = 3000;
    let app = App::start(&storage, &[]).await;
    let (client, slots) = (client(), Arc::new(Semaphore::new(50)));
    let mut posts = JoinSet::new();
    for index in 0..POSTS {
        let permit = slots.clone().acquire_owned().await.unwrap();
        let choice = if index % 3 == 0 { "b" } else { "a" };
        let request = client.post(&app.vote).form(&[("vote", choice)]);
        posts.spawn(async move {
            let status = request.send().await.unwrap().status();
            drop(permit);
            status
        });
    }
    while let Some(status) = posts.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    wait_for_votes(&app.result, &[2000, 1000]).await;
    assert_eq!(
        storage.count_votes().await,
        [("a".to_owned(), 2000), ("b".to_owned(), 1000)]
    );
    app.stop().await;
}

/// The original app accepted one such post, which then crashed its worker repeatedly.
async fn a_300_character_post_does_not_break_the_worker(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    for body in [format!("vote={}", "x".repeat(300)), "vote=%00".into()] {
        let page = Voter::new(&app.vote)
            .post("application/x-www-form-urlencoded", body)
            .await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    // An entry of this kind in the queue does not break the worker either.
    storage
        .enqueue_raw(&[("voter", "v"), ("choice", &"x".repeat(300))])
        .await;
    Voter::new(&app.vote).must_vote_for("a").await;
    wait_for_votes(&app.result, &[1, 0]).await;
    assert_eq!(storage.store().await.dead_letters().await.unwrap().len(), 1);
    app.stop().await;
}

/// The result page of the original app had its own labels for a and b.
async fn labels_are_the_same_on_both_pages(storage: Storage) {
    let app = App::start(&storage, &["--option-a", "Tea", "--option-b", "Coffee"]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    for url in [&app.vote, &app.result] {
        let page = get(url).await.text().await.unwrap();
        assert!(
            page.contains("Tea") && page.contains("Coffee") && !page.contains("Cats"),
            "{page}"
        );
    }
    app.stop().await;
}

async fn the_query_of_the_original_app_returns_the_tally(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    Voter::new(&app.vote).must_vote_for("b").await;
    wait_for_votes(&app.result, &[0, 1]).await;
    // `counted` runs that query.
    assert_eq!(storage.count_votes().await, [("b".to_owned(), 1)]);
    app.stop().await;
}

/// The original app loaded scripts from other sites, over plain HTTP.
async fn pages_load_nothing_from_other_sites(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    wait_for_votes(&app.result, &[0, 0]).await;
    for url in [&app.vote, &app.result] {
        let page = get(url).await.text().await.unwrap();
        // Links load nothing by themselves.
        let mut tags = page.split('<').filter(|tag| !tag.starts_with("a "));
        assert!(!tags.any(|tag| tag.contains("//")), "{page}");
        let files: Vec<_> = page
            .split('"')
            .filter(|text| text.starts_with("static/"))
            .collect();
        assert!(!files.is_empty());
        for file in files {
            let response = get(&format!("{url}/{file}")).await;
            assert_eq!(response.status(), StatusCode::OK, "{file}");
            assert!(
                response.headers()["cache-control"]
                    .to_str()
                    .unwrap()
                    .contains("immutable")
            );
            assert!(!response.text().await.unwrap().contains("//cdn"), "{file}");
        }
    }
    app.stop().await;
}

async fn the_wording_of_totals_is_kept(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let page = async || get(&app.result).await.text().await.unwrap();
    eventually(
        "the result page",
        |page| page.contains(">No votes yet<"),
        page,
    )
    .await;
    // The original app showed 50% each.
    assert!(page().await.contains("0.0%"), "no votes are 0.0%");
    Voter::new(&app.vote).must_vote_for("a").await;
    eventually("the first vote", |page| page.contains("1 vote<"), page).await;
    Voter::new(&app.vote).must_vote_for("a").await;
    eventually("the second vote", |page| page.contains(">2 votes<"), page).await;
    let voting = get(&app.vote).await.text().await.unwrap();
    assert!(voting.contains("Processed by container ID "), "{voting}");
    app.stop().await;
}

/// In the original app, 50 of 50 queued votes were lost, and a voter got 500 after 4.4 seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_redis_loses_no_vote_and_votes_fail_fast() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let flags = ["--enqueue-timeout", "2s"];
    let app = App::start(&storage, &flags).await;
    let mut accepted = 0;
    for _ in 0..50 {
        accepted += u64::from(Voter::new(&app.vote).vote_for("a").await.status == StatusCode::OK);
    }
    redis.server.kill();
    let began = Instant::now();
    let page = Voter::new(&app.vote).vote_for("b").await;
    assert_eq!(
        (page.status, page.retry_after.as_deref()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("1"))
    );
    assert!(page.html.contains("Please vote again."), "{}", page.html);
    assert!(
        began.elapsed().as_millis() < 4400,
        "it took {:?}",
        began.elapsed()
    );
    assert_eq!(
        Voter::new(&app.vote).get_page().await.status,
        StatusCode::OK,
        "the page is still served"
    );

    redis.server.start();
    redis.wait_until_ready().unwrap();
    let voter = Voter::new(&app.vote);
    eventually(
        "a vote after the restart",
        |status| *status == StatusCode::OK,
        async || voter.vote_for("b").await.status,
    )
    .await;
    let all = |tally: &serde_json::Value| {
        tally["options"][0]["votes"] == accepted && tally["options"][1]["votes"].as_u64() >= Some(1)
    };
    eventually("every accepted vote", all, async || {
        tally(&app.result).await
    })
    .await;
    app.stop().await;
}
