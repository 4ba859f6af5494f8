//! Which request goes where.

use std::{borrow::Cow, ops::Deref, sync::Arc};

use axum::Router;
use shared::{
    http::{AllowedOrigins, Api, HttpMetrics, Pages, asset_routes, documented_routes},
    language::Translations,
    links::LinkSettings,
    poll::Poll,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api,
    assets::Assets,
    cookie_key::CookieKeys,
    identity::Identity,
    intake::{Intake, Sender},
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
    pub(crate) intake: Intake,
    pub(crate) texts: Translations<Texts>,
    pub(crate) assets: Assets,
    pub(crate) links: LinkSettings,
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
    pub(crate) fn new(intake: Intake, keys: CookieKeys, links: LinkSettings) -> Self {
        Self(Arc::new(Parts {
            intake,
            keys,
            texts: texts::all(),
            assets: Assets::new(),
            links,
            instance: shared::instance_name(),
            pages: Pages::default(),
        }))
    }

    /// What can be voted for, and when.
    pub(crate) fn poll(&self) -> &Poll {
        &self.intake.poll
    }

    /// Takes in the vote that a request of this content type carries; `read` finds the option's key in its body.
    pub(crate) async fn cast(
        &self,
        identity: &Identity,
        sent: &Sent,
        content_type: &'static str,
        read: fn(&[u8]) -> Result<Cow<'_, str>, Refusal>,
    ) -> Result<Receipt, Refusal> {
        let key = sent.body(content_type).and_then(read);
        let key = key.as_deref().map_err(Clone::clone);
        let sender = Sender {
            voter: identity.voter,
            has_voted: !identity.chosen.is_empty(),
            address: sent.address,
        };
        self.intake.cast(sender, key, sent.traceparent()).await
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
    let poll = app.intake.poll.clone();
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
        .with_state(app)
        .merge(probes);
    documented_routes(api, open, own).merge(assets)
}
