//! `/health` and `/ready` while a server is frozen, unreachable, slow or read-only.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::faults::{FAULTS, Fault, Servers};
use crate::{
    faults::{start_ready, wait_until_ready, wait_until_unready},
    harness::{process::Service, scrape::wait_for_value, skip::or_skip, viewer::get_json},
};

/// The production default for enqueues, and a store timeout below the timeout of a probe.
const SETTINGS: [(&str, &str); 2] = [("ENQUEUE_TIMEOUT", "2s"), ("STORE_TIMEOUT", "2s")];

async fn health(service: &Service) -> StatusCode {
    get_json(&format!("{}/health", service.url)).await.0
}

async fn ready(service: &Service) -> StatusCode {
    get_json(&format!("{}/ready", service.url)).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vote_and_worker_are_healthy_but_not_ready_without_a_queue() {
    let servers = or_skip!(Servers::start().await);
    let vote = start_ready("vote", &servers.storage, &SETTINGS).await;
    let worker = start_ready("worker", &servers.storage, &SETTINGS).await;
    for fault in FAULTS {
        servers.queue.inject(fault);
        for service in [&vote, &worker] {
            wait_until_unready(service, &["\"queue\""]).await;
            assert_eq!(health(service).await, StatusCode::OK, "{fault:?}");
        }
        servers.queue.clear(fault);
        for service in [&vote, &worker] {
            wait_until_ready(&service.url).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_worker_is_not_ready_without_a_store() {
    let servers = or_skip!(Servers::start().await);
    let vote = start_ready("vote", &servers.storage, &SETTINGS).await;
    let worker = start_ready("worker", &servers.storage, &SETTINGS).await;
    let result = start_ready("result", &servers.storage, &SETTINGS).await;
    for fault in FAULTS {
        servers.store.inject(fault).await;
        wait_until_unready(&worker, &["\"store\""]).await;
        for (service, name) in [(&vote, "vote"), (&worker, "worker"), (&result, "result")] {
            assert_eq!(health(service).await, StatusCode::OK, "{fault:?}: {name}");
        }
        // The store has failed three probes, but this is no reason to reject voters or viewers.
        assert_eq!(ready(&vote).await, StatusCode::OK, "{fault:?}");
        assert_eq!(ready(&result).await, StatusCode::OK, "{fault:?}");
        servers.store.clear(fault).await;
        wait_until_ready(&worker.url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_never_read_a_tally_is_not_ready() {
    let servers = or_skip!(Servers::start().await);
    // The worker creates the tables.
    drop(start_ready("worker", &servers.storage, &SETTINGS).await);
    for fault in [Fault::Frozen, Fault::Refused, Fault::Slow] {
        servers.store.inject(fault).await;
        let result = Service::start("result", &servers.storage, &SETTINGS);
        wait_until_unready(&result, &["no tally has been read"]).await;
        assert_eq!(health(&result).await, StatusCode::OK, "{fault:?}");
        servers.store.clear(fault).await;
        wait_until_ready(&result.url).await;
    }
}

/// Probes of load balancers are frequent and wait at most 3 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_respond_without_querying_the_servers() {
    const PROBES: u32 = 100;
    let servers = or_skip!(Servers::start().await);
    let services = ["vote", "worker", "result"];
    let mut running = Vec::new();
    for name in services {
        running.push((name, start_ready(name, &servers.storage, &SETTINGS).await));
    }
    servers.queue.inject(Fault::Frozen);
    servers.store.inject(Fault::Frozen).await;
    for (name, service) in &running {
        let began = Instant::now();
        for _ in 0..PROBES {
            ready(service).await;
            health(service).await;
        }
        let each = began.elapsed() / (2 * PROBES);
        println!("{name}: a probe took {each:?}");
        // A probe that queried the frozen server would take a second.
        assert!(each < Duration::from_millis(200), "{name}: {each:?}");
    }
    servers.queue.clear(Fault::Frozen);
    servers.store.clear(Fault::Frozen).await;
}

/// In one loop, each probe would wait for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_store_does_not_block_probes_of_the_queue() {
    let servers = or_skip!(Servers::start().await);
    let long_timeout = [("STORE_TIMEOUT", "1h")];
    let worker = start_ready("worker", &servers.storage, &long_timeout).await;
    servers.store.inject(Fault::Frozen).await;
    let up = |name: &str| format!("dependency_up{{dependency=\"{name}\"}}");
    wait_for_value(&worker.url, &up("store"), |up| up < 1.0).await;
    servers.queue.inject(Fault::Refused);
    wait_for_value(&worker.url, &up("queue"), |up| up < 1.0).await;
    servers.queue.clear(Fault::Refused);
    wait_for_value(&worker.url, &up("queue"), |up| up > 0.0).await;
    servers.store.clear(Fault::Frozen).await;
    wait_for_value(&worker.url, &up("store"), |up| up > 0.0).await;
}
