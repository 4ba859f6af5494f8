//! The sharded queue: it gives the guarantees of a single server, and a lost shard affects only its own voters.
//! `queue_contract` tests the guarantees of each shard.

mod balance;
mod failover;
mod lost;
mod numbering;
mod rig;
