//! Which request goes where.

use std::{borrow::Cow, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, rejection::BytesRejection},
    http::{HeaderMap, header},
    routing::{get, post},
};
use shared::{
    ballot::Traceparent, http::asset_routes, language::Translations, links::LinkSettings,
    poll::Poll, queue::Queue,
};

use crate::{
    api,
    assets::Assets,
    cookie_key::CookieKeys,
    identity::Identity,
    intake::{Intake, Receipt, VoteMetrics},
    page,
    refusal::Refusal,
    same_site,
    texts::{self, Texts},
};

/// A vote needs less than a hundred bytes.
const MAX_BODY: usize = 4 * 1024;

/// What the handlers share. Cloning is cheap.
#[derive(Clone)]
pub struct App {
    pub(crate) poll: Arc<Poll>,
    pub(crate) keys: Arc<CookieKeys>,
    pub(crate) intake: Intake,
    pub(crate) texts: Arc<Translations<Texts>>,
    pub(crate) assets: Arc<Assets>,
    pub(crate) links: LinkSettings,
    pub(crate) instance: Arc<str>,
}

impl App {
    pub(crate) fn new(
        poll: Poll,
        keys: CookieKeys,
        links: LinkSettings,
        queue: Queue,
        metrics: VoteMetrics,
    ) -> Self {
        let poll = Arc::new(poll);
        Self {
            intake: Intake::new(poll.clone(), queue, metrics),
            poll,
            keys: keys.into(),
            texts: texts::all().into(),
            assets: Assets::new().into(),
            links,
            instance: shared::instance_name().into(),
        }
    }

    /// Takes in the vote that a request of this content type carries; `read` finds the option's key in its body.
    pub(crate) async fn cast(
        &self,
        identity: &Identity,
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
        content_type: &'static str,
        read: fn(&[u8]) -> Result<Cow<'_, str>, Refusal>,
    ) -> Result<Receipt, Refusal> {
        let body = body_of(headers, content_type, body);
        let key = body.as_deref().map_err(Clone::clone).and_then(read);
        let key = key.as_deref().map_err(Clone::clone);
        self.intake
            .cast(identity.voter, key, traceparent(headers))
            .await
    }
}

/// The routes of the page and of the API.
pub fn routes(app: App) -> Router {
    let assets = asset_routes(app.assets.all());
    Router::new()
        .route("/", get(page::show).post(page::submit))
        .route("/api/poll", get(api::poll))
        .route("/api/votes", post(api::submit))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
        .merge(assets)
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
