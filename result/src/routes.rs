//! The routes of the result service.

use std::sync::Arc;

use axum::Router;
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{AllowedOrigins, Api, HttpMetrics, asset_routes, documented_routes};

use crate::{api, archive, events, page, state::AppState, tally_csv};

/// The description of the API in its OpenAPI document.
const DESCRIPTION: &str = "The result of a poll as a page, as live events, as JSON and as CSV. \
     Paths that support `GET` also support `HEAD`. `OPTIONS` lists the methods of a path. The response to any other method is 405.";

/// The routes of the page, the events, the API and the probes.
pub fn routes(
    app: Arc<AppState>,
    probes: OpenApiRouter,
    origins: Option<&AllowedOrigins>,
    metrics: &HttpMetrics,
) -> Router {
    let assets = asset_routes(app.assets.all(), metrics);
    let api = Api {
        title: "result",
        description: DESCRIPTION,
        // The document describes the results of all polls.
        poll: None,
        origins,
        metrics,
        voter_cookie: None,
    };
    let cross_origin = OpenApiRouter::new()
        .routes(routes!(events::stream))
        .routes(routes!(api::tally))
        .routes(routes!(tally_csv::tally_csv))
        .routes(routes!(api::timeline))
        .routes(routes!(archive::api::polls))
        .routes(routes!(archive::api::tally))
        .routes(routes!(archive::api::tally_csv))
        .routes(routes!(archive::api::timeline))
        .with_state(app.clone());
    let same_origin = OpenApiRouter::new()
        .routes(routes!(page::show))
        .routes(routes!(page::embed))
        .routes(routes!(page::timeline))
        .routes(routes!(archive::page::list))
        .routes(routes!(archive::page::show))
        .with_state(app)
        .merge(probes);
    documented_routes(api, cross_origin, same_origin).merge(assets)
}
