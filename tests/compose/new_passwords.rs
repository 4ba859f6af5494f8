//! A change of all passwords while votes are cast.

use super::{Load, assert_all_is_counted};
use crate::harness::{
    skip::or_skip,
    stack::{Stack, text},
    voter::Voter,
};

/// The reply of Redis to a ping with this URL.
fn ping(stack: &Stack, url: &str) -> String {
    let ping = ["redis-cli", "--no-auth-warning", "-u", url, "ping"];
    stack.run_in_back_tier("passwords", "redis:8.2", &ping)
}

fn url(stack: &Stack) -> String {
    stack.run_in_back_tier("secrets-vote", "redis:8.2", &["cat", "/volume/queue-url"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_can_be_changed_while_votes_are_cast() {
    let mut stack = or_skip!(Stack::new());
    stack.set_secrets("");
    stack.up(&[]);
    let voter = Voter::new(&stack.vote);
    voter.must_vote_for("b").await;
    let load = Load::start(&stack.vote);
    load.wait_for_accepted().await;

    // New random passwords.
    let first = url(&stack);
    stack.set("SECRETS_VERSION", "2");
    stack.up(&[]);
    load.wait_for_accepted().await;
    let second = url(&stack);
    assert_ne!(first, second);
    assert!(ping(&stack, &first).contains("WRONGPASS"));
    assert_eq!(ping(&stack, &second), "PONG\n");
    assert_eq!(
        voter.get_page().await.selected_options(),
        ["b"],
        "the voter is still recognised"
    );

    // Passwords of the operator's choice.
    let own = "VOTE_REDIS_PASSWORD=sixteen-letters-\nRESULT_DB_PASSWORD=sixteen-letters-\n";
    stack.set_secrets(own);
    let rejected = stack.try_compose(&["up", "--detach", "--wait", "--no-build"]);
    assert!(
        !rejected.status.success(),
        "the new password is accepted without a new version"
    );
    let output = stack.try_compose(&["logs", "--no-color", "--no-log-prefix", "secrets"]);
    assert!(
        text(&output.stdout).contains(
            "VOTE_REDIS_PASSWORD is not what the services use; set SECRETS_VERSION in .env to something other than 2"
        ),
        "{}",
        text(&output.stdout)
    );
    assert_eq!(ping(&stack, &second), "PONG\n");
    load.wait_for_accepted().await;
    stack.set("SECRETS_VERSION", "3");
    stack.up(&[]);
    load.wait_for_accepted().await;
    assert!(url(&stack).contains(":sixteen-letters-@"));

    // Another run with the same settings changes nothing.
    let containers = stack.containers("vote");
    stack.up(&[]);
    assert_eq!(stack.containers("vote"), containers);
    voter.must_vote_for("a").await;
    assert_all_is_counted(&stack, load).await;
}
