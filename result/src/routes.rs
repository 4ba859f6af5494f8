//! Which request goes where.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing::get};
use shared::{
    http::{Asset, Problem, asset_routes, base_style},
    poll::Poll,
    store::Store,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    ResultMetrics, api, events, page, refresher::Latest, snapshot::Snapshot, timeline::Timeline,
};

/// What the handlers share. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    pub(crate) poll: Arc<Poll>,
    pub(crate) store: Store,
    pub(crate) latest: watch::Receiver<Latest>,
    pub(crate) timeline: Timeline,
    pub(crate) metrics: ResultMetrics,
    pub(crate) closing: CancellationToken,
    pub(crate) styles: Arc<[Asset]>,
    pub(crate) script: Asset,
    pub(crate) instance: Arc<str>,
}

impl App {
    pub(crate) fn new(
        poll: Arc<Poll>,
        store: Store,
        latest: watch::Receiver<Latest>,
        metrics: ResultMetrics,
        closing: CancellationToken,
    ) -> Self {
        Self {
            poll,
            store,
            latest,
            timeline: Timeline::default(),
            metrics,
            closing,
            styles: [
                base_style(),
                Asset::css("result", include_str!("../assets/result.css")),
            ]
            .into(),
            script: Asset::js("result", include_str!("../assets/result.js")),
            instance: shared::instance_name().into(),
        }
    }

    /// The tally of now.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        self.latest.borrow().clone().ok_or_else(|| {
            let detail =
                "the result has not been read from the store yet; please try again in a moment";
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "result-unavailable",
                detail,
            )
            .retry_after(1)
        })
    }
}

/// The routes of the page, of the events and of the API.
pub fn routes(app: App) -> Router {
    let assets: Vec<_> = app
        .styles
        .iter()
        .cloned()
        .chain([app.script.clone()])
        .collect();
    Router::new()
        .route("/", get(page::show))
        .route("/events", get(events::stream))
        .route("/api/tally", get(api::tally))
        .route("/api/tally.csv", get(api::tally_csv))
        .route("/api/timeline", get(api::timeline))
        .with_state(app)
        .merge(asset_routes(&assets))
}
