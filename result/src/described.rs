//! The OpenAPI schema of the events of `/events`.

use jiff::Timestamp;
use utoipa::ToSchema;

use crate::snapshot::TallyDocument;

/// One event of the stream: its fields, with the JSON text of `data` as the value that it stands for.
#[derive(ToSchema)]
#[serde(tag = "event", rename_all = "lowercase")]
#[expect(dead_code, reason = "it describes what is written by hand")]
pub enum Event {
    /// The whole tally: at once, and whenever it changes.
    #[schema(title = "TallyEvent")]
    Tally {
        /// The id of this tally, the same on every replica: its `ETag` without `W/` and the quotes. Send it as
        /// `Last-Event-ID` to get only what is new.
        #[schema(pattern = "^[0-9a-f]{16}$")]
        id: String,
        /// The tally.
        data: TallyDocument,
    },
    /// A sign of life, after 10 seconds without any other event.
    #[schema(title = "HeartbeatEvent")]
    Heartbeat {
        /// The age of the tally.
        data: HeartbeatDocument,
    },
}

/// The data of a heartbeat.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is written by hand")]
pub struct HeartbeatDocument {
    /// The time at which the tally was read from the store, to the millisecond; null before the first time.
    #[schema(required)]
    as_of: Option<Timestamp>,
}
