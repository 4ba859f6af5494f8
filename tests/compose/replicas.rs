//! Several containers of each service.

use crate::harness::{
    skip::or_skip,
    stack::Stack,
    viewer::{get, wait_for_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_the_work() {
    let mut stack = or_skip!(Stack::new());
    stack.set("VOTE_PORT", "31000-31099");
    stack.set("RESULT_PORT", "31100-31199");
    stack.up(&[
        "--scale", "vote=3", "--scale", "worker=2", "--scale", "result=2",
    ]);
    let (vote, result) = (
        stack.addresses("vote", 8080),
        stack.addresses("result", 8081),
    );
    assert_eq!(
        (vote.len(), result.len(), stack.containers("worker").len()),
        (3, 2, 2)
    );
    // Links use the first port of a range.
    for (page, link) in [
        (&vote[0], "<a href=\"http://localhost:31100/\">"),
        (&result[0], "<a href=\"http://localhost:31000/\">"),
    ] {
        let page = get(page).await.text().await.unwrap();
        assert!(page.contains(link), "{page}");
    }
    for round in 0..30 {
        Voter::new(&vote[round % 3])
            .must_vote_for(if round % 2 == 0 { "a" } else { "b" })
            .await;
    }
    for result in &result {
        wait_for_votes(result, &[15, 15]).await;
    }
    let pages = [
        get(&vote[0]).await.text().await.unwrap(),
        get(&vote[1]).await.text().await.unwrap(),
    ];
    let served_by = |page: &String| {
        page.split("container ID ")
            .nth(1)
            .map(|rest| rest[..12].to_owned())
    };
    assert_ne!(
        served_by(&pages[0]),
        served_by(&pages[1]),
        "each replica shows its container id"
    );
}
