//! Redis Cluster: finds the node that holds a shard's stream, and follows the stream when it moves.
//!
//! Needed only if QUEUE_URL names nodes of a Redis Cluster or a managed service that runs one (such as ElastiCache in cluster
//! mode or MemoryDB). With independent servers nothing in here runs, apart from the hash tags in the shards' keys.
//!
//! Cost: a redirection (`MOVED`) costs the command one more round trip, once per move; while the own node is unreachable, one
//! lookup in the background queries the other nodes. It adds nothing to a command on a healthy connection. The library's cluster
//! client is not used: it sends commands that were in flight a second time, and a ballot that is enqueued twice can
//! overtake a newer one of its voter.
//!
//! Interface to the rest of the queue: [`Nodes`] (the candidate servers of a shard and the reachable one),
//! [`redirected`] with [`is_moved`] and [`is_resharding`] (errors of a cluster), [`hash_tag`] (a key's slot).

mod nodes;
mod redirection;
mod slots;

pub use nodes::{Nodes, is_same};
pub use redirection::{is_moved, is_resharding, redirected};
pub use slots::hash_tag;
