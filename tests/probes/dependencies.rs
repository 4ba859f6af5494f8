//! What `/health` and `/ready` say while a server is frozen, away, slow or takes no writes.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::faults::{FAULTS, Fault, Servers};
use crate::{
    faults::{start_ready, until_ready, until_unready_because},
    harness::{process::Service, scrape::until, skip::or_skip, viewer::get_json},
};

/// The default of production, and a store that is given up sooner than a probe of it.
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
        servers.queue.spoil(fault);
        for service in [&vote, &worker] {
            until_unready_because(service, &["\"queue\""]).await;
            assert_eq!(health(service).await, StatusCode::OK, "{fault:?}");
        }
        servers.queue.mend(fault);
        for service in [&vote, &worker] {
            until_ready(&service.url).await;
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
        servers.store.spoil(fault).await;
        until_unready_because(&worker, &["\"store\""]).await;
        for (service, name) in [(&vote, "vote"), (&worker, "worker"), (&result, "result")] {
            assert_eq!(health(service).await, StatusCode::OK, "{fault:?}: {name}");
        }
        // It has been wrong for three probes, and is no reason to turn voters or viewers away.
        assert_eq!(ready(&vote).await, StatusCode::OK, "{fault:?}");
        assert_eq!(ready(&result).await, StatusCode::OK, "{fault:?}");
        servers.store.mend(fault).await;
        until_ready(&worker.url).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_never_read_a_tally_is_not_ready() {
    let servers = or_skip!(Servers::start().await);
    // The tables are there.
    drop(start_ready("worker", &servers.storage, &SETTINGS).await);
    for fault in [Fault::Frozen, Fault::Refused, Fault::Slow] {
        servers.store.spoil(fault).await;
        let result = Service::start("result", &servers.storage, &SETTINGS);
        until_unready_because(&result, &["no tally has been read"]).await;
        assert_eq!(health(&result).await, StatusCode::OK, "{fault:?}");
        servers.store.mend(fault).await;
        until_ready(&result.url).await;
    }
}

/// A probe of a load balancer waits 3 s at most, and asks often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_respond_without_querying_the_servers() {
    const PROBES: u32 = 100;
    let servers = or_skip!(Servers::start().await);
    let services = ["vote", "worker", "result"];
    let mut running = Vec::new();
    for name in services {
        running.push((name, start_ready(name, &servers.storage, &SETTINGS).await));
    }
    servers.queue.spoil(Fault::Frozen);
    servers.store.spoil(Fault::Frozen).await;
    for (name, service) in &running {
        let began = Instant::now();
        for _ in 0..PROBES {
            ready(service).await;
            health(service).await;
        }
        let each = began.elapsed() / (2 * PROBES);
        println!("{name}: a probe took {each:?}");
        // Whoever asked the frozen server waited for a second, each time.
        assert!(each < Duration::from_millis(200), "{name}: {each:?}");
    }
    servers.queue.mend(Fault::Frozen);
    servers.store.mend(Fault::Frozen).await;
}

/// In one loop, each would wait for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_store_does_not_block_probes_of_the_queue() {
    let servers = or_skip!(Servers::start().await);
    let patient = [("STORE_TIMEOUT", "1h")];
    let worker = start_ready("worker", &servers.storage, &patient).await;
    servers.store.spoil(Fault::Frozen).await;
    let up = |name: &str| format!("dependency_up{{dependency=\"{name}\"}}");
    until(&worker.url, &up("store"), |up| up < 1.0).await;
    servers.queue.spoil(Fault::Refused);
    until(&worker.url, &up("queue"), |up| up < 1.0).await;
    servers.queue.mend(Fault::Refused);
    until(&worker.url, &up("queue"), |up| up > 0.0).await;
    servers.store.mend(Fault::Frozen).await;
    until(&worker.url, &up("store"), |up| up > 0.0).await;
}
