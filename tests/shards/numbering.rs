//! Global ids distinguish the ballots of different shards.

use std::collections::BTreeSet;

use crate::harness::{
    cluster, eventually,
    process::Service,
    skip::or_skip,
    storage::{Backend, Storage},
};

/// Each server generates ids by itself, so servers may give the same id to different ballots.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_with_the_same_id_in_different_shards_are_all_stored() {
    let cluster = or_skip!(cluster::shared());
    let storage = or_skip!(Storage::new(Backend::Cluster).await);
    let store = storage.store().await;
    let shards = storage.shards().await;
    for (node, shard) in cluster.masters.iter().zip(shards.shards()) {
        let mut add = redis::cmd("XADD");
        add.arg(shard.name())
            .arg("1800000000000-7")
            .arg("no")
            .arg("ballot");
        add.exec(&mut node.connect()).unwrap();
    }
    let _worker = Service::start("worker", &storage, &[]);
    let letters = async || store.dead_letters().await.unwrap();
    let letters = eventually(
        "dead letters",
        |letters: &Vec<_>| letters.len() == 3,
        letters,
    )
    .await;
    let ids: BTreeSet<_> = letters.iter().map(|letter| letter.id.to_string()).collect();
    let expected = ["1800000000000-21", "1800000000000-22", "1800000000000-23"].map(str::to_owned);
    assert_eq!(ids, BTreeSet::from(expected));
    crate::faults::wait_until_empty(&storage).await;
}
