//! Which request goes where.

use std::sync::Arc;

use axum::{Router, http::StatusCode, routing::get};
use shared::{
    http::{Problem, asset_routes},
    language::Translations,
    links::LinkSettings,
    poll::Poll,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    ResultMetrics, api,
    assets::Assets,
    events, page,
    refresher::Latest,
    settings::PageConfig,
    snapshot::Snapshot,
    texts::{self, Texts},
    timeline::{LatestTimeline, Timeline},
};

/// What the handlers share: everything they answer with is in memory. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    pub(crate) poll: Arc<Poll>,
    pub(crate) latest: watch::Receiver<Latest>,
    pub(crate) timeline: watch::Receiver<LatestTimeline>,
    pub(crate) metrics: ResultMetrics,
    pub(crate) closing: CancellationToken,
    pub(crate) texts: Arc<Translations<Texts>>,
    pub(crate) assets: Arc<Assets>,
    pub(crate) links: LinkSettings,
    pub(crate) embed_allowed_origins: Arc<[String]>,
    pub(crate) instance: Arc<str>,
}

impl App {
    pub(crate) fn new(
        poll: Arc<Poll>,
        pages: &PageConfig,
        latest: watch::Receiver<Latest>,
        timeline: watch::Receiver<LatestTimeline>,
        metrics: ResultMetrics,
        closing: CancellationToken,
    ) -> Self {
        Self {
            poll,
            latest,
            timeline,
            metrics,
            closing,
            texts: texts::all().into(),
            assets: Assets::new(pages.links.vote_url.as_deref()).into(),
            links: pages.links.clone(),
            embed_allowed_origins: pages.embed_allowed_origins.clone().into(),
            instance: shared::instance_name().into(),
        }
    }

    /// The tally of now.
    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        self.latest.borrow().clone().ok_or_else(not_read_yet)
    }

    /// The timeline of now.
    pub(crate) fn timeline(&self) -> Result<Arc<Timeline>, Problem> {
        self.timeline.borrow().clone().ok_or_else(not_read_yet)
    }
}

fn not_read_yet() -> Problem {
    let detail = "the result has not been read from the store yet; please try again in a moment";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "result-unavailable",
        detail,
    )
    .retry_after(1)
}

/// The routes of the page, of the events and of the API.
pub fn routes(app: App) -> Router {
    let assets = asset_routes(app.assets.all());
    Router::new()
        .route("/", get(page::show))
        .route("/embed", get(page::embed))
        .route("/timeline", get(page::timeline))
        .route("/events", get(events::stream))
        .route("/api/tally", get(api::tally))
        .route("/api/tally.csv", get(api::tally_csv))
        .route("/api/timeline", get(api::timeline))
        .with_state(app)
        .merge(assets)
}
