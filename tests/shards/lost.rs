//! A shard is lost, and comes back.

use queue::Queue;

use super::rig::{NONE, Rig, assert_accepted_elsewhere, assert_refused_at_once};
use crate::harness::{
    cluster::{self, Cluster},
    eventually,
    process::Service,
    redis::RedisServer,
    scrape::Scrape,
    skip::or_skip,
    storage::{Kind, Storage},
};

const RATE: f64 = 200.0;
const LOST: usize = 1;

fn urls(servers: &[RedisServer]) -> String {
    let urls: Vec<_> = servers.iter().map(|server| &*server.url).collect();
    urls.join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shard_costs_its_own_voters_some_time_and_nobody_a_vote() {
    let servers = or_skip!(cluster::servers(3));
    let rig = or_skip!(Rig::new(urls(&servers)).await);
    let (before, voting) = rig.under_load(RATE).await;

    servers[LOST].server.kill();
    rig.until_shard_is(LOST, false).await;
    rig.until_accepted(400.0).await;
    rig.until_stored(50.0).await;
    rig.until_all_are_ready().await;
    // Servers that know nothing of each other: nobody else has taken its ballots.
    let key = &rig.keys().await[LOST];
    for other in [&servers[0], &servers[2]] {
        let exists: bool = redis::Commands::exists(&mut other.connect(), key).unwrap();
        assert!(!exists, "another server has {key}");
    }
    // Here the last votes of its voters are those that were refused.
    let refused = voting.stop().await;
    assert_refused_at_once(&refused, LOST);

    servers[LOST].server.start();
    servers[LOST].wait_until_ready().unwrap();
    rig.until_shard_is(LOST, true).await;
    rig.assert_all_is_counted(&refused, &before).await;

    // And it takes part again.
    let before = rig.look().await;
    let voting = rig.begin(RATE);
    rig.until_accepted(400.0).await;
    let load = voting.stop().await;
    assert_accepted_elsewhere(&load, NONE);
    rig.assert_all_is_counted(&load, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_shard_slows_nobody_else() {
    let servers = or_skip!(cluster::servers(3));
    let rig = or_skip!(Rig::new(urls(&servers)).await);
    let limit = rig.admission_limit().await;
    let (before, voting) = rig.under_load(RATE).await;

    servers[LOST].server.freeze();
    rig.until_shard_is(LOST, false).await;
    rig.until_accepted(400.0).await;
    rig.until_stored(50.0).await;
    rig.until_all_are_ready().await;
    let shrunk = rig.admission_limit().await;
    assert!(
        shrunk < limit && shrunk >= limit * 2.0 / 3.0,
        "one of three limits must shrink, and only that: from {limit} to {shrunk} in sum"
    );
    let refused = voting.stop().await;
    servers[LOST].server.thaw();
    assert_refused_at_once(&refused, LOST);
    rig.until_shard_is(LOST, true).await;
    rig.assert_all_is_counted(&refused, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_down_holds_up_only_its_part_of_a_cluster() {
    let cluster = or_skip!(Cluster::start(3, false));
    let rig = or_skip!(Rig::new(cluster.queue_url()).await);
    let (before, voting) = rig.under_load(RATE).await;
    cluster.masters[LOST].server.kill();
    rig.until_shard_is(LOST, false).await;
    // Its URL was the way to another shard, which is found through the third.
    rig.until_accepted(400.0).await;
    let refused = voting.stop().await;
    cluster.masters[LOST].server.start();
    rig.until_shard_is(LOST, true).await;
    assert_accepted_elsewhere(&refused, LOST);
    rig.assert_all_is_counted(&refused, &before).await;

    // A service that begins while that URL is dead finds its shard all the same.
    cluster.masters[LOST].server.kill();
    let vote = Service::start("vote", &rig.storage, &[]);
    for up in [0, 2] {
        let series = format!("dependency_up{{dependency=\"queue-{up}\"}}");
        let said = async || Scrape::of(&vote.url).await.find(&series);
        eventually("a shard at another node", |said| *said == Some(1.0), said).await;
    }
}

/// It would keep them in a stream that nobody reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_shard_is_not_looked_for_in_a_cluster_that_does_not_know_it() {
    let cluster = or_skip!(Cluster::start(3, false));
    let stranger = or_skip!(cluster::servers(1)).remove(0);
    let mut storage = or_skip!(Storage::new(Kind::Servers).await);
    stranger.server.kill();
    cluster.masters[LOST].server.kill();
    // The first of three shards, whose own server is dead. The cluster has its slot at a node that is not.
    let mut shard_of = async |dead: &RedisServer| -> Queue {
        let urls = [dead, &cluster.masters[0], &cluster.masters[2]].map(|server| &*server.url);
        storage.queue_url = urls.join(",");
        storage.shards().await.shards()[0].clone()
    };
    let strange = shard_of(&stranger).await;
    // The second one begins when the search for the stranger has had its time.
    for own in [
        shard_of(&cluster.masters[LOST]).await,
        shard_of(&cluster.masters[LOST]).await,
    ] {
        let probes = async || {
            let strange = strange.check_write().await;
            (strange.is_ok(), own.check_write().await.is_ok())
        };
        let probes = eventually("the way to the own shard", |(_, own)| *own, probes).await;
        assert_eq!(probes, (false, true));
    }
}
