//! The tests that cross the borders between the parts, on real servers.
//!
//! They are one program, so that it is linked once and its tests share one Redis and one Postgres. `harness` finds or
//! starts those; everything else here is a subject.

mod admin;
mod api_contract;
mod api_guide;
mod browser;
mod browser_safety;
mod clock;
mod command_line;
mod compose;
mod configuration;
mod convergence;
mod data_dir;
mod faults;
mod harness;
mod hostile_clients;
mod journeys;
mod load;
mod management;
mod messages;
mod metrics;
mod mover;
mod original_faults;
mod other_sites;
mod outages;
mod pooler;
mod probes;
mod processes;
mod proxies;
mod queue_contract;
mod rate_limits;
mod recognised;
mod refusals;
mod restore;
mod schedules;
mod secure_servers;
mod shards;
mod store_contract;
mod table_faults;
mod traces;
