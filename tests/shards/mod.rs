//! The queue in shards: what holds for one server holds for several, and one that is lost holds up nobody but its own voters.
