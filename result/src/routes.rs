//! Which request goes where.

use std::{ops::Deref, sync::Arc};

use axum::{Router, http::HeaderValue};
use poll::Poll;
use retry::Throttle;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    AddressLimit, AllowedOrigins, Api, HttpMetrics, PageCache, Problem, ProblemKind, asset_routes,
    content_security_policy, documented_routes, language::Translations,
    public_urls::PublicUrlSettings,
};

use crate::{
    api,
    assets::Assets,
    events,
    metrics::ResultMetrics,
    page,
    refresher::Latest,
    settings::PageConfig,
    snapshot::Snapshot,
    texts::{self, Texts},
    timeline::{LatestTimeline, Timeline},
};

/// What the handlers share: everything they answer with is in memory. Every request has a clone of its own: it is one
/// pointer.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What there is in it.
pub struct Parts {
    pub(crate) poll: Arc<Poll>,
    pub(crate) latest: watch::Receiver<Latest>,
    pub(crate) timeline: watch::Receiver<LatestTimeline>,
    pub(crate) metrics: ResultMetrics,
    pub(crate) shutting_down: CancellationToken,
    pub(crate) texts: Translations<Texts>,
    pub(crate) assets: Assets,
    pub(crate) links: PublicUrlSettings,
    /// What browsers may do with the page that others show in a frame.
    pub(crate) embed_policy: HeaderValue,
    /// Places for viewers of the live events.
    pub(crate) places: Arc<Semaphore>,
    /// Those of each address.
    pub(crate) per_address: AddressLimit,
    pub(crate) refused_log: Throttle,
    pub(crate) instance: String,
    pub(crate) pages: PageCache<page::Kind, page::Version>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        poll: Arc<Poll>,
        pages: &PageConfig,
        latest: watch::Receiver<Latest>,
        timeline: watch::Receiver<LatestTimeline>,
        metrics: ResultMetrics,
        shutting_down: CancellationToken,
        (max_viewers, per_address): (usize, AddressLimit),
    ) -> Self {
        Self(Arc::new(Parts {
            poll,
            latest,
            timeline,
            metrics,
            shutting_down,
            texts: texts::all(),
            assets: Assets::new(pages.links.vote_url.as_deref()),
            links: pages.links.clone(),
            embed_policy: content_security_policy(&pages.embed_allowed_origins),
            places: Arc::new(Semaphore::new(max_viewers)),
            per_address,
            refused_log: Throttle::default(),
            instance: telemetry::instance_name(),
            pages: PageCache::default(),
        }))
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
    let detail = "The result has not been read from the store yet. Please try again in a moment.";
    Problem::new(ProblemKind::ResultUnavailable, detail).retry_after(1)
}

/// What the API is for.
const DESCRIPTION: &str = "The result of a poll: as a page, as live events, as JSON and as a table. \
     `HEAD` is answered wherever `GET` is, `OPTIONS` everywhere with the methods that a path knows, any other method with 405.";

/// The routes of the page, of the events, of the API and of the probes.
pub fn routes(
    app: App,
    probes: OpenApiRouter,
    origins: Option<&AllowedOrigins>,
    metrics: &HttpMetrics,
) -> Router {
    let assets = asset_routes(app.assets.all(), metrics);
    let poll = app.poll.clone();
    let api = Api {
        title: "result",
        description: DESCRIPTION,
        poll: &poll,
        origins,
        metrics,
        voter_cookie: None,
    };
    let open = OpenApiRouter::new()
        .routes(routes!(events::stream))
        .routes(routes!(api::tally))
        .routes(routes!(api::tally_csv))
        .routes(routes!(api::timeline))
        .with_state(app.clone());
    let own = OpenApiRouter::new()
        .routes(routes!(page::show))
        .routes(routes!(page::embed))
        .routes(routes!(page::timeline))
        .with_state(app)
        .merge(probes);
    documented_routes(api, open, own).merge(assets)
}
