//! Routes of the voting service.

use std::sync::Arc;

use axum::{Router, http::Method};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{AllowedOrigins, Api, HttpMetrics, Rejection, asset_routes, documented_routes};

use crate::{api, metrics::VoteMetrics, page, state::AppState};

/// Returns a callback that counts votes which a connection limit rejected.
pub fn count_rejected(metrics: VoteMetrics) -> impl Fn(&Method, &str, Rejection) {
    move |method, path, by| {
        if *method == Method::POST && matches!(path, "/" | "/api/votes") {
            metrics.count_rejected(by);
        }
    }
}

/// Description of the API in its OpenAPI document.
const DESCRIPTION: &str = "A poll and the votes on it: an HTML page for people, JSON for programs. \
     Every path that supports `GET` supports `HEAD`, too. `OPTIONS` returns the methods of a path; any other method gets 405.";

/// Returns the routes of the page, the API and the probes.
pub fn routes(
    state: Arc<AppState>,
    probes: OpenApiRouter,
    origins: Option<&AllowedOrigins>,
    metrics: &HttpMetrics,
) -> Router {
    let assets = asset_routes(state.assets.all(), metrics);
    let poll = state.poll.clone();
    let voter_cookie = state.cookie_keys.name().to_owned();
    let api = Api {
        title: "vote",
        description: DESCRIPTION,
        poll: Some(&poll),
        origins,
        metrics,
        voter_cookie: Some(&voter_cookie),
    };
    let open = OpenApiRouter::new()
        .routes(routes!(api::poll))
        .with_state(state.clone());
    let own = OpenApiRouter::new()
        .routes(routes!(page::show, page::submit))
        .routes(routes!(api::submit))
        .with_state(state)
        .merge(probes);
    documented_routes(api, open, own).merge(assets)
}
