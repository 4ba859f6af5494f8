//! A shard is lost and recovers.

use queue::Queue;

use super::rig::{NO_SHARD, Rig, assert_accepted_elsewhere, assert_rejected_at_once};
use crate::harness::{
    cluster::{self, Cluster},
    eventually,
    process::Service,
    redis::RedisServer,
    scrape::Scrape,
    skip::or_skip,
    storage::{Backend, Storage},
};

const RATE: f64 = 200.0;
const LOST_SHARD: usize = 1;

fn urls(servers: &[RedisServer]) -> String {
    let urls: Vec<_> = servers.iter().map(|server| &*server.url).collect();
    urls.join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shard_rejects_only_its_own_voters_and_loses_no_vote() {
    let servers = or_skip!(cluster::servers(3));
    let rig = or_skip!(Rig::new(urls(&servers)).await);
    let (before, voting) = rig.start_load(RATE).await;

    servers[LOST_SHARD].server.kill();
    rig.wait_for_shard_state(LOST_SHARD, false).await;
    rig.wait_for_accepted(400.0).await;
    rig.wait_for_stored(50.0).await;
    rig.wait_until_all_ready().await;
    // The servers are independent: no other server has its ballots.
    let key = &rig.keys().await[LOST_SHARD];
    for other in [&servers[0], &servers[2]] {
        let exists: bool = redis::Commands::exists(&mut other.connect(), key).unwrap();
        assert!(!exists, "another server has {key}");
    }
    // The last votes of its voters are the rejected ones.
    let rejected = voting.stop().await;
    assert_rejected_at_once(&rejected, LOST_SHARD);

    servers[LOST_SHARD].server.start();
    servers[LOST_SHARD].wait_until_ready().unwrap();
    rig.wait_for_shard_state(LOST_SHARD, true).await;
    rig.assert_all_is_counted(&rejected, &before).await;

    // The shard accepts votes again.
    let before = rig.observe().await;
    let voting = rig.spawn_load(RATE);
    rig.wait_for_accepted(400.0).await;
    let load = voting.stop().await;
    assert_accepted_elsewhere(&load, NO_SHARD);
    rig.assert_all_is_counted(&load, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_shard_does_not_slow_other_shards() {
    let servers = or_skip!(cluster::servers(3));
    let rig = or_skip!(Rig::new(urls(&servers)).await);
    let limit = rig.admission_limit().await;
    let (before, voting) = rig.start_load(RATE).await;

    servers[LOST_SHARD].server.freeze();
    rig.wait_for_shard_state(LOST_SHARD, false).await;
    rig.wait_for_accepted(400.0).await;
    rig.wait_for_stored(50.0).await;
    rig.wait_until_all_ready().await;
    let reduced = rig.admission_limit().await;
    assert!(
        reduced < limit && reduced >= limit * 2.0 / 3.0,
        "one of three limits must shrink, and only that: from {limit} to {reduced} in sum"
    );
    let rejected = voting.stop().await;
    servers[LOST_SHARD].server.thaw();
    assert_rejected_at_once(&rejected, LOST_SHARD);
    rig.wait_for_shard_state(LOST_SHARD, true).await;
    rig.assert_all_is_counted(&rejected, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_node_affects_only_its_slots_of_a_cluster() {
    let cluster = or_skip!(Cluster::start(3, false));
    let rig = or_skip!(Rig::new(cluster.queue_url()).await);
    let (before, voting) = rig.start_load(RATE).await;
    cluster.masters[LOST_SHARD].server.kill();
    rig.wait_for_shard_state(LOST_SHARD, false).await;
    // Its URL named another shard's entry node; that shard is located through the third node.
    rig.wait_for_accepted(400.0).await;
    let rejected = voting.stop().await;
    cluster.masters[LOST_SHARD].server.start();
    rig.wait_for_shard_state(LOST_SHARD, true).await;
    assert_accepted_elsewhere(&rejected, LOST_SHARD);
    rig.assert_all_is_counted(&rejected, &before).await;

    // A service that starts while that node is unreachable still locates the shard.
    cluster.masters[LOST_SHARD].server.kill();
    let vote = Service::start("vote", &rig.storage, &[]);
    for up in [0, 2] {
        let series = format!("dependency_up{{dependency=\"queue-{up}\"}}");
        let up_value = async || Scrape::of(&vote.url).await.find(&series);
        eventually(
            "a shard at another node",
            |value| *value == Some(1.0),
            up_value,
        )
        .await;
    }
}

/// Otherwise ballots would be added to a stream that no worker reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_standalone_shard_is_not_located_in_a_cluster() {
    let cluster = or_skip!(Cluster::start(3, false));
    let standalone = or_skip!(cluster::servers(1)).remove(0);
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    standalone.server.kill();
    cluster.masters[LOST_SHARD].server.kill();
    // The first of three shards, whose own server is down. Another node of the cluster has its slot.
    let mut shard_of = async |dead: &RedisServer| -> Queue {
        let urls = [dead, &cluster.masters[0], &cluster.masters[2]].map(|server| &*server.url);
        storage.queue_url = urls.join(",");
        storage.shards().await.shards()[0].clone()
    };
    let standalone_shard = shard_of(&standalone).await;
    // The second queue starts after the search for the standalone shard had enough time.
    for own in [
        shard_of(&cluster.masters[LOST_SHARD]).await,
        shard_of(&cluster.masters[LOST_SHARD]).await,
    ] {
        let probes = async || {
            let standalone_shard = standalone_shard.check_write().await;
            (standalone_shard.is_ok(), own.check_write().await.is_ok())
        };
        let probes = eventually("the shard of the cluster", |(_, own)| *own, probes).await;
        assert_eq!(probes, (false, true));
    }
}
