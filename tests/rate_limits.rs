//! Rate limits per IP address, if they are configured.

use reqwest::{Response, StatusCode, header::CONTENT_TYPE};

use crate::harness::{
    app::App,
    storage::{Storage, on_both_storages, poll},
    viewer::{get, wait_for_votes},
    voter::{Voter, client},
};

on_both_storages! {
    votes_from_one_address_are_not_limited_by_default,
    new_voters_beyond_the_limit_get_429_and_nothing_is_queued,
    forwarded_addresses_are_used_only_from_trusted_proxies,
    cookies_from_before_a_reset_count_as_new_voters,
}

async fn votes_from_one_address_are_not_limited_by_default(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let client = client();
    let voters = (0..50).map(async |_| {
        for _ in 0..60 {
            let request = client
                .post(&app.vote)
                .header(CONTENT_TYPE, FORM)
                .body("vote=a");
            assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
        }
    });
    futures_util::future::join_all(voters).await;
    wait_for_votes(&app.result, &[3000, 0]).await;
    app.stop().await;
}

const FORM: &str = "application/x-www-form-urlencoded";
const LOW_LIMIT: [&str; 4] = ["--new-voters-per-minute", "1", "--new-voters-burst", "3"];

async fn new_voters_beyond_the_limit_get_429_and_nothing_is_queued(storage: Storage) {
    let app = App::start(&storage, &LOW_LIMIT).await;
    let known = Voter::new(&app.vote);
    known.must_vote_for("a").await;
    for _ in 0..2 {
        Voter::new(&app.vote).must_vote_for("a").await;
    }
    let new_voter = Voter::new(&app.vote);
    assert_eq!(
        new_voter.vote_for("c").await.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "an invalid choice does not count against the limit"
    );
    let (status, problem) = new_voter.api_vote(r#"{"choice": "b"}"#).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(problem["type"], "/problems/rate-limited");
    let page = Voter::new(&app.vote).vote_for("b").await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        page.html.contains("NOT counted") && page.html.contains("Too many votes"),
        "{}",
        page.html
    );
    let wait: u32 = page.retry_after.unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // Voters who have voted before may change their vote.
    known.must_vote_for("b").await;
    wait_for_votes(&app.result, &[2, 1]).await;
    assert_eq!(
        storage.count_votes().await,
        [("a".to_owned(), 2), ("b".to_owned(), 1)]
    );
    let metrics = get(&format!("{}/metrics", app.vote))
        .await
        .text()
        .await
        .unwrap();
    let line = "vote_submissions_total{choice=\"b\",outcome=\"rate_limited\"} 2\n";
    assert!(metrics.contains(line), "{metrics}");
    app.stop().await;
}

/// These cookies say that their voters have voted, but the votes are deleted.
async fn cookies_from_before_a_reset_count_as_new_voters(storage: Storage) {
    let app = App::start(&storage, &[]).await;
    let voters: Vec<_> = (0..20).map(|_| Voter::new(&app.vote)).collect();
    for voter in &voters {
        voter.must_vote_for("a").await;
    }
    wait_for_votes(&app.result, &[20, 0]).await;
    app.stop().await;
    storage.store().await.reset(&poll().id).await.unwrap();

    let app = App::start(&storage, &LOW_LIMIT).await;
    let mut accepted = 0;
    for voter in &voters {
        let page = voter.at(&app.vote).vote_for("b").await;
        accepted += u64::from(page.status == StatusCode::OK);
    }
    assert_eq!(accepted, 3);
    wait_for_votes(&app.result, &[0, accepted]).await;
    app.stop().await;
}

async fn forwarded_addresses_are_used_only_from_trusted_proxies(storage: Storage) {
    let vote = async |app: &App, forwarded_for: &str| {
        let request = client()
            .post(&app.vote)
            .header("x-forwarded-for", forwarded_for);
        let response = request
            .header(CONTENT_TYPE, FORM)
            .body("vote=a")
            .send()
            .await;
        response.as_ref().map(Response::status).unwrap()
    };
    let app = App::start(&storage, &LOW_LIMIT).await;
    for number in 0..3 {
        assert_eq!(
            vote(&app, &format!("198.51.100.{number}")).await,
            StatusCode::OK
        );
    }
    assert_eq!(
        vote(&app, "198.51.100.9").await,
        StatusCode::TOO_MANY_REQUESTS,
        "forwarded addresses are ignored"
    );
    app.stop().await;

    let with_trusted_proxy = [&LOW_LIMIT[..], &["--trusted-proxies", "127.0.0.0/8"]].concat();
    let app = App::start(&storage, &with_trusted_proxy).await;
    for number in 0..3 {
        // Only the last address is from the proxy; earlier ones are set by the client.
        assert_eq!(
            vote(&app, &format!("10.0.0.{number}, 198.51.100.1")).await,
            StatusCode::OK
        );
    }
    assert_eq!(
        vote(&app, "10.0.0.9, 198.51.100.1").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        vote(&app, "198.51.100.2").await,
        StatusCode::OK,
        "others are not affected"
    );
    app.stop().await;
}
