//! The OpenAPI schema of the events of `/events`.

use jiff::Timestamp;
use utoipa::ToSchema;

use crate::snapshot::TallyDocument;

/// One event of the stream. The schema of `data` is that of its JSON text.
#[derive(ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes events that are serialised by hand")]
pub enum Event {
    /// The whole tally: sent at the start and after each change.
    #[schema(title = "TallyEvent")]
    Tally {
        /// Id of this tally, the same on every replica: its `ETag` without `W/` and quotes. Send it as `Last-Event-ID` to
        /// receive only newer tallies.
        #[schema(pattern = "^[0-9a-f]{16}$")]
        id: String,
        /// The tally.
        data: TallyDocument,
    },
    /// A keep-alive, sent after 3 seconds without another event.
    #[schema(title = "HeartbeatEvent")]
    Heartbeat {
        /// Age of the tally.
        data: HeartbeatDocument,
    },
}

/// The data of a heartbeat.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes events that are serialised by hand")]
pub struct HeartbeatDocument {
    /// Time at which the tally was read from the store, to the millisecond; null until it has been read.
    #[schema(required)]
    as_of: Option<Timestamp>,
}
