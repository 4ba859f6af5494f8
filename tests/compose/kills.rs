//! Containers that are killed while clients vote.

use super::{Load, assert_all_is_counted};
use crate::harness::{skip::or_skip, stack::Stack};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_container_under_load_loses_no_accepted_vote() {
    let stack = or_skip!(Stack::new());
    stack.up(&[]);
    let load = Load::start(&stack.vote);
    for service in ["redis", "db", "worker", "vote", "result"] {
        load.wait_for_accepted().await;
        stack.compose(&["kill", service]);
        load.wait_for_attempts().await;
        stack.up(&[]);
    }
    load.wait_for_accepted().await;
    assert_all_is_counted(&stack, load).await;
}
