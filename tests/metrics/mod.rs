//! Every metric: something happens, and the metric says so. Services are processes of their own, servers are real.
//!
//! What needs more than one sentence to happen is shown where that is at home: `worker_ballots_lost_total` in
//! `faults::stream`, `http_server_connections_rejected_total` in `hostile_clients`, `queue_durable` 0 in `durability`.

mod exemplars;
mod lint;
mod requests;
mod result;
mod runtime;
mod table;
mod vote;
mod worker;
mod zeros;

/// Machines are shared: what waits for a frozen server waits this long.
const PROMPT: [(&str, &str); 2] = [("ENQUEUE_TIMEOUT", "2s"), ("STORE_TIMEOUT", "2s")];

use crate::harness::{
    process::Service,
    storage::{Kind, Storage},
};

/// The three services, each with its name.
async fn services(kind: Kind) -> Result<(Storage, [(&'static str, Service); 3]), String> {
    let storage = Storage::new(kind).await?;
    let services =
        ["vote", "worker", "result"].map(|name| (name, Service::start(name, &storage, &PROMPT)));
    Ok((storage, services))
}
