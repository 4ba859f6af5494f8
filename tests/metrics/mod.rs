//! Every metric changes with the event that it measures. Services are separate processes, and servers are real.
//!
//! Metrics whose events need a longer setup are tested elsewhere: `worker_ballots_lost_total` in `faults::stream`,
//! `http_server_connections_rejected_total` in `hostile_clients`, `queue_durable` 0 in `durability`.

mod exemplars;
mod lint;
mod requests;
mod result;
mod runtime;
mod table;
mod vote;
mod worker;
mod zeros;

/// Short timeouts for tests that wait for a frozen server, yet long enough for a shared machine.
const SHORT_TIMEOUTS: [(&str, &str); 2] = [("ENQUEUE_TIMEOUT", "2s"), ("STORE_TIMEOUT", "2s")];

use crate::harness::{
    process::Service,
    storage::{Backend, Storage},
};

/// Starts the three services, and returns each with its name.
async fn services(kind: Backend) -> Result<(Storage, [(&'static str, Service); 3]), String> {
    let storage = Storage::new(kind).await?;
    let services = ["vote", "worker", "result"]
        .map(|name| (name, Service::start(name, &storage, &SHORT_TIMEOUTS)));
    Ok((storage, services))
}
