//! The queue in shards: what holds for one server holds for several, and one that is lost holds up nobody but its own
//! voters. `queue_contract` has what every shard promises by itself.

mod balance;
mod failover;
mod lost;
mod numbering;
mod rig;
