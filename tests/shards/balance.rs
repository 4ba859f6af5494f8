//! Voters are spread over shards, and shards over workers.

use redis::{Commands, streams::StreamInfoStreamReply};

use super::rig::{Rig, SHARDS};
use crate::harness::{
    cluster,
    process::{command, output},
    scrape::Scrape,
    skip::or_skip,
};

/// The URLs lead to other nodes than those that have the streams, so that every service must follow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_counts_every_vote_and_shares_the_work() {
    let cluster = or_skip!(cluster::shared());
    let rig = or_skip!(Rig::new(cluster.queue_url()).await);
    let votes = rig.votes.each_ref().map(|vote| &*vote.url).join(",");
    let mut load = command(
        "load",
        &[
            ("LOAD_VOTE_URL", &votes),
            ("LOAD_RESULT_URL", &rig.result.url),
            ("DATABASE_URL", &rig.storage.database_url),
        ],
    );
    load.args(["--votes", "3000", "--voters", "600", "--connections", "64"]);
    let ended = tokio::task::block_in_place(|| output(&mut load));
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        ended.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(
        said.contains("lost 0; checked: every vote in the store"),
        "{said}"
    );

    // About 600 voters over three shards: one of them is hardly ever so far from a third.
    for (node, key) in cluster.masters.iter().zip(rig.keys().await) {
        let stream: StreamInfoStreamReply = node
            .connect()
            .xinfo_stream(&key)
            .expect("the stream is at this node");
        let groups: Vec<std::collections::HashMap<String, redis::Value>> = redis::cmd("XINFO")
            .arg("GROUPS")
            .arg(&key)
            .query(&mut node.connect())
            .unwrap();
        let added: u64 = redis::from_redis_value(groups[0]["entries-read"].clone()).unwrap();
        assert!(
            (600..=1400).contains(&added),
            "{key} was given {added} of 3000 ballots; {stream:?}"
        );
    }
    for worker in &rig.workers {
        let metrics = Scrape::of(&worker.url).await;
        let stored: f64 = ["applied", "stale"]
            .map(|outcome| {
                metrics.value(&format!(
                    "worker_ballots_processed_total{{outcome=\"{outcome}\"}}"
                ))
            })
            .iter()
            .sum();
        assert!(
            stored >= 300.0,
            "one of two workers stored only {stored} of 3000 ballots"
        );
    }
    assert_eq!(cluster.masters.len(), SHARDS);
}
