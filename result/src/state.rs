//! Shared state of the request handlers.

use std::sync::Arc;

use axum::http::HeaderValue;
use poll::Poll;
use retry::Throttle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use web::{
    AddressLimit, Problem, ProblemKind, language::Translations, public_urls::PublicUrlSettings,
};

use crate::{
    archive::Archive, assets::Assets, metrics::ResultMetrics, snapshot::Snapshot,
    tally_poller::CurrentSnapshot, texts::Texts,
};

/// Shared application state. All responses are served from memory.
pub struct AppState {
    pub poll: Arc<Poll>,
    /// The polls that were asked before.
    pub archive: Archive,
    /// The current tally and timeline.
    pub snapshot: watch::Receiver<CurrentSnapshot>,
    pub metrics: ResultMetrics,
    pub shutting_down: CancellationToken,
    pub texts: Translations<Texts>,
    pub assets: Assets,
    pub public_urls: PublicUrlSettings,
    /// The content security policy of the page for frames.
    pub embed_policy: HeaderValue,
    /// Permits for connections to the live events.
    pub sse_permits: Arc<Semaphore>,
    /// The limit of these connections for each address.
    pub viewers_per_address: AddressLimit,
    pub rejection_log: Throttle,
    /// The name of this instance, as shown on the page.
    pub instance: String,
}

impl AppState {
    /// The current tally.
    ///
    /// # Errors
    /// It has not been read from the store yet.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        self.snapshot.borrow().clone().ok_or_else(not_read_yet)
    }
}

/// The problem that the result has not been read from the store yet.
pub fn not_read_yet() -> Problem {
    let detail = "The result has not been read from the store yet. Please try again in a moment.";
    Problem::new(ProblemKind::ResultUnavailable, detail).retry_after(1)
}
