//! A shard's stream moves to another node of its Redis Cluster.

use super::rig::{NO_SHARD, Rig, assert_accepted_elsewhere};
use crate::harness::{cluster::Cluster, skip::or_skip};

/// Replication is asynchronous, so the voters pause here until the replica has all ballots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_replaces_a_failed_master() {
    let cluster = or_skip!(Cluster::start(3, true));
    let rig = or_skip!(Rig::new(cluster.queue_url()).await);
    let (before, voting) = rig.start_load(200.0).await;
    let load = voting.stop().await;
    rig.assert_all_is_counted(&load, &before).await;

    let before = rig.observe().await;
    cluster.masters[1].server.kill();
    rig.wait_for_shard_state(1, false).await;
    rig.wait_for_shard_state(1, true).await;
    let voting = rig.spawn_load(200.0);
    rig.wait_for_accepted(400.0).await;
    let load = voting.stop().await;
    assert_accepted_elsewhere(&load, NO_SHARD);
    rig.assert_all_is_counted(&load, &before).await;
}

/// While a slot is migrating, no node changes its stream, so no command is executed twice or lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_can_be_migrated_under_load() {
    let cluster = or_skip!(Cluster::start(3, false));
    let rig = or_skip!(Rig::new(cluster.queue_url()).await);
    let (before, voting) = rig.start_load(200.0).await;
    let (from, to) = (&cluster.masters[0], &cluster.masters[2]);
    let key = &rig.keys().await[0];
    let slot: u64 = redis::from_redis_value(from.cluster(&["KEYSLOT", key])).unwrap();
    let slot = slot.to_string();
    to.cluster(&["SETSLOT", &slot, "IMPORTING", &from.id()]);
    from.cluster(&["SETSLOT", &slot, "MIGRATING", &to.id()]);
    let mut migrate = redis::cmd("MIGRATE");
    migrate
        .arg("127.0.0.1")
        .arg(to.port())
        .arg("")
        .arg(0)
        .arg(5000)
        .arg("KEYS");
    migrate.arg(key).arg(format!("{key}:probe"));
    migrate.exec(&mut from.connect()).unwrap();
    for node in [to, from, &cluster.masters[1]] {
        node.cluster(&["SETSLOT", &slot, "NODE", &to.id()]);
    }
    rig.wait_for_accepted(400.0).await;
    let exists: bool = redis::Commands::exists(&mut to.connect(), key).unwrap();
    assert!(exists, "the stream was moved");
    let load = voting.stop().await;
    rig.assert_all_is_counted(&load, &before).await;
}
