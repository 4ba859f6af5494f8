//! Which request goes where.

use std::{borrow::Cow, ops::Deref, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, rejection::BytesRejection},
    http::{HeaderMap, header},
};
use shared::{
    ballot::Traceparent,
    http::{AllowedOrigins, Api, HttpMetrics, Pages, asset_routes, documented_routes},
    language::Translations,
    links::LinkSettings,
    poll::Poll,
    queue::ShardedQueue,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    admission::Admission,
    api,
    assets::Assets,
    cookie_key::CookieKeys,
    identity::Identity,
    intake::{Intake, Receipt, Sender, VoteMetrics},
    page,
    rate_limit::{ClientAddress, RateLimits},
    refusal::Refusal,
    same_site,
    texts::{self, Texts},
};

/// A vote needs less than a hundred bytes.
const MAX_BODY: usize = 4 * 1024;

/// What the handlers share. Every request has a clone of its own, or several: it is one pointer.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What there is in it.
pub struct Parts {
    pub(crate) poll: Arc<Poll>,
    pub(crate) keys: CookieKeys,
    pub(crate) intake: Intake,
    pub(crate) texts: Translations<Texts>,
    pub(crate) assets: Assets,
    pub(crate) links: LinkSettings,
    pub(crate) rates: RateLimits,
    pub(crate) instance: String,
    pub(crate) pages: Pages<page::Kind, page::Version>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        poll: Poll,
        keys: CookieKeys,
        links: LinkSettings,
        queue: ShardedQueue,
        metrics: VoteMetrics,
        admissions: Arc<[Admission]>,
        rates: RateLimits,
    ) -> Self {
        let poll = Arc::new(poll);
        Self(Arc::new(Parts {
            intake: Intake::new(poll.clone(), queue, metrics, admissions, rates.clone()),
            rates,
            poll,
            keys,
            texts: texts::all(),
            assets: Assets::new(),
            links,
            instance: shared::instance_name(),
            pages: Pages::default(),
        }))
    }

    /// Takes in the vote that a request of this content type carries; `read` finds the option's key in its body.
    pub(crate) async fn cast(
        &self,
        identity: &Identity,
        address: ClientAddress,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
        content_type: &'static str,
        read: fn(&[u8]) -> Result<Cow<'_, str>, Refusal>,
    ) -> Result<Receipt, Refusal> {
        let body = body_of(headers, content_type, body);
        let key = body.as_deref().map_err(Clone::clone).and_then(read);
        let key = key.as_deref().map_err(Clone::clone);
        let sender = Sender {
            voter: identity.voter,
            has_voted: !identity.chosen.is_empty(),
            address,
        };
        self.intake.cast(sender, key, traceparent(headers)).await
    }
}

/// What the API is for.
const DESCRIPTION: &str = "A poll, and the votes on it: by a page for people, by JSON for programs. \
     `HEAD` is answered wherever `GET` is, any other method with 405.";

/// The routes of the page, of the API and of the probes.
pub fn routes(
    app: App,
    probes: OpenApiRouter,
    origins: Option<&AllowedOrigins>,
    metrics: &HttpMetrics,
) -> Router {
    let assets = asset_routes(app.assets.all(), metrics);
    let poll = app.poll.clone();
    let api = Api {
        title: "vote",
        description: DESCRIPTION,
        poll: &poll,
        origins,
        metrics,
    };
    let open = OpenApiRouter::new()
        .routes(routes!(api::poll))
        .with_state(app.clone());
    let own = OpenApiRouter::new()
        .routes(routes!(page::show, page::submit))
        .routes(routes!(api::submit))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
        .merge(probes);
    documented_routes(api, open, own).merge(assets)
}

/// A request's body, if it comes from our own page or a program, is small enough and of this type.
fn body_of(
    headers: &HeaderMap,
    content_type: &'static str,
    body: Result<Bytes, BytesRejection>,
) -> Result<Bytes, Refusal> {
    same_site::check(headers)?;
    let body = body.map_err(|rejection| Refusal::of_body(&rejection, MAX_BODY))?;
    let sent = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(content_type) {
        return Err(Refusal::ContentType(content_type));
    }
    Ok(body)
}

/// The trace the request belongs to.
fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    headers
        .get("traceparent")
        .and_then(|value| Traceparent::parse(value.to_str().ok()?))
}
