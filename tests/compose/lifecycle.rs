//! A stack from its first start to another configuration.

use reqwest::StatusCode;

use super::{
    confinement::{
        assert_confined, assert_least_privileges, assert_no_secret_is_shown,
        assert_only_the_pages_are_published,
    },
    inspect,
};
use crate::harness::{
    container::docker,
    skip::or_skip,
    stack::Stack,
    viewer::{get_json, wait_for_votes},
    voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_counts_seeds_and_keeps_every_vote() {
    let stack = or_skip!(Stack::new());
    stack.up(&[]);
    let voter = Voter::new(&stack.vote);
    voter.must_vote_for("a").await;
    wait_for_votes(&stack.result, &[1, 0]).await;
    let output = stack.compose(&["--profile", "seed", "run", "--rm", "seed"]);
    assert!(
        output.contains("2000 votes for a") && output.contains("1000 votes for b"),
        "{output}"
    );
    wait_for_votes(&stack.result, &[2001, 1000]).await;

    // All containers are confined.
    for service in ["vote", "worker", "result", "redis", "db"] {
        for id in stack.containers(service) {
            assert_confined(service, &inspect(&id));
        }
    }
    assert_only_the_pages_are_published(&stack);
    assert_least_privileges(&stack);

    // After down and up again, only the named volumes remain.
    let anonymous = stack.anonymous_volumes();
    stack.compose(&["down"]);
    for volume in anonymous {
        assert!(
            !docker(&["volume", "ls", "--quiet"]).contains(&volume),
            "{volume} was not removed"
        );
    }
    stack.up(&[]);
    wait_for_votes(&stack.result, &[2001, 1000]).await;
    assert_eq!(
        voter.get_page().await.selected_options(),
        ["a"],
        "the cookie key is kept, too"
    );
    voter.must_vote_for("b").await;
    wait_for_votes(&stack.result, &[2000, 1001]).await;

    assert_admin_commands_work(&stack).await;

    // A custom configuration.
    let mut stack = stack;
    stack.set("POLL_OPTIONS", "a=Tea,b=Coffee,c=Water");
    stack.set("SECRETS_VERSION", "mine");
    stack.set_secrets("# mine\nWORKER_DB_PASSWORD=another-password\nCOOKIE_KEY=short\n");
    let output = stack.try_compose(&["up", "--detach", "--wait", "--no-build"]);
    assert!(
        !output.status.success(),
        "a key that is too short is accepted"
    );
    stack.set_secrets("# mine\nWORKER_DB_PASSWORD=another-password\n");
    stack.up(&[]);
    assert_no_secret_is_shown(&stack);
    Voter::new(&stack.vote).must_vote_for("c").await;
    // With other options it is another poll. The user of the result service may read both.
    wait_for_votes(&stack.result, &[0, 0, 1]).await;
    let (status, list) = get_json(&format!("{}/api/polls", stack.result)).await;
    let count = |poll: usize| list["polls"][poll]["votes"].as_u64();
    assert_eq!(
        (status, count(0), count(1)),
        (StatusCode::OK, Some(1), Some(1)),
        "{list}"
    );
}

/// Asserts that the worker's permissions suffice for all `admin` commands. In the end one vote for b is left.
async fn assert_admin_commands_work(stack: &Stack) {
    let admin = |arguments: &[&str]| {
        let worker = ["exec", "-T", "worker", "worker", "admin"];
        stack.compose(&[&worker, arguments].concat())
    };
    assert_eq!(admin(&["dead-letters"]), "no dead letters\n");
    assert_eq!(admin(&["replay", "--all"]), "0 dead letters replayed\n");
    assert_eq!(admin(&["export"]).lines().count(), 1 + 3001);
    let polls = admin(&["polls"]);
    assert!(polls.contains("3001 votes  Cats or Dogs?"), "{polls}");
    assert_eq!(
        admin(&["forget", &"0".repeat(32)]),
        "deleted 0 votes and 0 dead letters\n"
    );
    let output = admin(&["reset", "--confirm", "Cats or Dogs?"]);
    assert!(
        output.ends_with("deleted 3001 votes and 0 dead letters\n"),
        "{output}"
    );
    wait_for_votes(&stack.result, &[0, 0]).await;
    Voter::new(&stack.vote).must_vote_for("b").await;
    wait_for_votes(&stack.result, &[0, 1]).await;
}
