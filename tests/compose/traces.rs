//! The traces of all services reach a collector outside the stack.

use std::{collections::BTreeSet, net::Ipv4Addr};

use serde_json::Value;

use crate::harness::{
    collector::Collector, container::docker, eventually, skip::or_skip, stack::Stack, voter::Voter,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_sends_traces_to_an_external_collector() {
    let mut stack = or_skip!(Stack::new());
    let is_internal = |stack: &Stack| {
        let config: Value =
            serde_json::from_str(&stack.compose(&["config", "--format", "json"])).unwrap();
        config["networks"]["traces"]["internal"].as_bool()
    };
    // Without an external collector the worker's network is internal.
    assert_eq!(is_internal(&stack), Some(true));
    // The address of the host for containers of other networks.
    let collector = Collector::start_at(&bridge_address().to_string()).await;
    stack.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url);
    stack.set("TRACES_INTERNAL", "false");
    assert_eq!(is_internal(&stack), None);
    stack.up(&["vote", "worker", "result"]);
    Voter::new(&stack.vote).must_vote_for("a").await;
    reqwest::get(&stack.result).await.unwrap();
    let services = || {
        let spans = collector.spans().into_iter();
        spans.map(|span| span.service).collect::<BTreeSet<_>>()
    };
    let all = |services: &BTreeSet<_>| services.len() == 3;
    eventually("traces of three services", all, async || services()).await;
}

/// Returns the address of the host in the engine's default network: the first one of its subnet. The engine leaves `Gateway`
/// out until its second start.
fn bridge_address() -> Ipv4Addr {
    let format = "{{(index .IPAM.Config 0).Subnet}}";
    let subnet = docker(&["network", "inspect", "bridge", "--format", format]);
    let (network, _) = subnet
        .split_once('/')
        .expect("a subnet has a prefix length");
    let network: Ipv4Addr = network.parse().expect("the network has an IPv4 address");
    Ipv4Addr::from_bits(network.to_bits() + 1)
}
