//! End-to-end tests of the services, on real servers.
//!
//! They are one test binary, so it is linked once and all tests share one Redis and one Postgres. `harness` finds or starts
//! these servers; every other module covers one subject.

mod admin;
mod api_contract;
mod api_guide;
mod ballot_processor;
mod browser;
mod clock;
mod command_line;
mod compose;
mod configuration;
mod connection_errors;
mod convergence;
mod cors;
mod data_dir;
mod faults;
mod harness;
mod hostile_clients;
mod journeys;
mod load;
mod management;
mod metrics;
mod original_app;
mod outages;
mod polls;
mod pooler;
mod probes;
mod processes;
mod proxies;
mod queue_contract;
mod rate_limits;
mod rejected_votes;
mod rendered_pages;
mod restore;
mod schedules;
mod secure_servers;
mod security_headers;
mod shards;
mod store_contract;
mod table_faults;
mod traces;
mod voter_identity;
