//! Keys and versions of cached pages.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{snapshot::Snapshot, timeline::Timeline};

/// A page that is rendered once per language and version.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageKey {
    /// The result page.
    Page,
    /// The result page for frames of other sites.
    Embedded,
    /// The section with the timeline.
    Timeline,
}

/// The version of a cached page: everything that changes its content.
#[derive(PartialEq)]
pub struct CacheVersion {
    tally_id: Arc<str>,
    stale_since: Option<Timestamp>,
    timeline_id: Option<Arc<str>>,
}

impl CacheVersion {
    /// The version of a page that shows this tally and this timeline.
    pub fn new(snapshot: &Snapshot, timeline: Option<&Timeline>) -> Self {
        let document = &snapshot.document;
        Self {
            tally_id: snapshot.id.clone(),
            stale_since: document.stale.then_some(document.as_of),
            timeline_id: timeline.map(|timeline| timeline.id.clone()),
        }
    }
}
