//! Which request goes where.

use std::{ops::Deref, sync::Arc};

use axum::{Router, http::Method};
use jiff::Timestamp;
use poll::Poll;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{
    AllowedOrigins, Api, BasePath, HttpMetrics, PageCache, PublicOrigins, Rejection, asset_routes,
    documented_routes, language::Translations, public_urls::PublicUrlSettings,
};

use crate::{
    api,
    assets::Assets,
    cookie_key::CookieKeys,
    csrf::{CsrfCheck, Token},
    identity::{Context, Identity},
    intake::{Intake, Sender, VoteMetrics},
    line::Receipt,
    page,
    refusal::Refusal,
    sent::Sent,
    texts::{self, Texts},
};

/// What the handlers share. Every request has a clone of its own, or several: it is one pointer.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What there is in it.
pub struct Parts {
    pub(crate) keys: CookieKeys,
    csrf: CsrfCheck,
    poll_id: String,
    pub(crate) intake: Intake,
    pub(crate) texts: Translations<Texts>,
    pub(crate) assets: Assets,
    pub(crate) links: PublicUrlSettings,
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
        intake: Intake,
        keys: CookieKeys,
        links: PublicUrlSettings,
        public_origins: PublicOrigins,
    ) -> Self {
        let own = match &links.vote_url {
            Some(url) => public_origins.with_page(url),
            None => public_origins,
        };
        Self(Arc::new(Parts {
            csrf: CsrfCheck::new(own),
            poll_id: intake.poll.id(),
            intake,
            keys,
            texts: texts::all(),
            assets: Assets::new(),
            links,
            instance: telemetry::instance_name(),
            pages: PageCache::default(),
        }))
    }

    /// What can be voted for, and when.
    pub(crate) fn poll(&self) -> &Poll {
        &self.intake.poll
    }

    /// The moment and the poll for which cookies are read and made.
    pub(crate) fn context(&self, now: Timestamp) -> Context<'_> {
        Context {
            now,
            poll: &self.poll_id,
            path: self
                .links
                .vote_base_path
                .as_ref()
                .map_or("/", BasePath::cookie_path),
        }
    }

    /// Takes in the vote for the option with this key, if our own page or a program sent it.
    pub(crate) async fn cast(
        &self,
        identity: &Identity,
        sent: &Sent,
        token: Token,
        key: Result<&str, Refusal>,
    ) -> Result<Receipt, Refusal> {
        let key = self.csrf.check(&sent.headers, token).and(key);
        let sender = Sender {
            voter: identity.voter,
            address: sent.address,
        };
        self.intake.cast(sender, key, sent.traceparent()).await
    }
}

/// Counts requests with a vote that a limit on connections refused.
pub fn count_refused(metrics: VoteMetrics) -> impl Fn(&Method, &str, Rejection) {
    move |method, path, by| {
        if *method == Method::POST && matches!(path, "/" | "/api/votes") {
            metrics.count_refused(by);
        }
    }
}

/// What the API is for.
const DESCRIPTION: &str = "A poll, and the votes on it: by a page for people, by JSON for programs. \
     `HEAD` is answered wherever `GET` is, `OPTIONS` everywhere with the methods that a path knows, any other method with 405.";

/// The routes of the page, of the API and of the probes.
pub fn routes(
    app: App,
    probes: OpenApiRouter,
    origins: Option<&AllowedOrigins>,
    metrics: &HttpMetrics,
) -> Router {
    let assets = asset_routes(app.assets.all(), metrics);
    let poll = app.intake.poll.clone();
    let voter_cookie = app.keys.name().to_owned();
    let api = Api {
        title: "vote",
        description: DESCRIPTION,
        poll: &poll,
        origins,
        metrics,
        voter_cookie: Some(&voter_cookie),
    };
    let open = OpenApiRouter::new()
        .routes(routes!(api::poll))
        .with_state(app.clone());
    let own = OpenApiRouter::new()
        .routes(routes!(page::show, page::submit))
        .routes(routes!(api::submit))
        .with_state(app)
        .merge(probes);
    documented_routes(api, open, own).merge(assets)
}
