//! The queue's server is running but not ready when services start.

use super::{SHORT_TIMEOUTS, assert_reports, wait_until_ready};
use crate::harness::{
    process::Service,
    redis,
    skip::or_skip,
    storage::{Backend, Storage},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_and_wait_for_a_loading_redis() {
    let redis = or_skip!(redis::slow_to_load());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    let keys = "for key = 1, 100000 do redis.call('SET', key, '') end";
    let fill = ::redis::cmd("EVAL")
        .arg(keys)
        .arg(0)
        .exec(&mut redis.connect());
    fill.unwrap();
    redis.server.kill();
    redis.server.start();
    let services = ["vote", "worker"].map(|name| Service::start(name, &storage, &SHORT_TIMEOUTS));
    for service in &services {
        assert_reports(service, &["loading the dataset"]).await;
    }
    let mut no_delay = ::redis::cmd("CONFIG");
    no_delay.arg("SET").arg("key-load-delay").arg(0);
    redis.exec(&no_delay).unwrap();
    for service in &services {
        wait_until_ready(&service.url).await;
    }
}

/// A replica without a master that serves no stale data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_report_and_wait_for_a_replica_without_master() {
    let redis = or_skip!(redis::dedicated());
    let mut storage = or_skip!(Storage::new(Backend::Servers).await);
    storage.queue_url.clone_from(&redis.url);
    redis.set("replica-serve-stale-data", "no");
    // Otherwise the first error is that it is a read-only replica.
    redis.set("replica-read-only", "no");
    let replica_of = |host: &str, port: &str| {
        let mut replicaof = ::redis::cmd("REPLICAOF");
        redis.exec(replicaof.arg(host).arg(port)).unwrap();
    };
    replica_of("127.0.0.1", "1");
    let services = ["vote", "worker"].map(|name| Service::start(name, &storage, &SHORT_TIMEOUTS));
    for service in &services {
        let words = [
            "Link with MASTER is down",
            "QUEUE_URL must name the primary",
        ];
        assert_reports(service, &words).await;
    }
    replica_of("NO", "ONE");
    for service in &services {
        wait_until_ready(&service.url).await;
    }
}
