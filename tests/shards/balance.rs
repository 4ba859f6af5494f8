//! The distribution of voters over shards and of shards over workers.

use redis::{Commands, streams::StreamInfoStreamReply};

use super::rig::{Rig, SHARDS};
use crate::harness::{
    cluster,
    process::{command, output},
    scrape::Scrape,
    skip::or_skip,
};

/// The URLs name nodes other than those with the streams, so every service must follow the redirects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_counts_every_vote_and_distributes_the_work() {
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
    let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        ended.status.success(),
        "{stdout}{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    assert!(
        stdout.contains("lost 0; checked: every vote in the store"),
        "{stdout}"
    );

    // 600 random voters on three shards: a share outside this range is very improbable.
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
            "{key} got {added} of 3000 ballots; {stream:?}"
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
