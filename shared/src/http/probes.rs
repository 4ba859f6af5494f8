//! `/health`, `/ready` and `/metrics`.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus::Registry;
use serde_json::{Map, json};

use crate::{lifecycle::Lifecycle, metrics, probe::Check};

/// What the probes answer from.
#[derive(Clone)]
pub struct Probes {
    /// Whether the process itself is alive. It never looks at a dependency: restarting does not mend those.
    pub alive: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What the service needs to serve, from memory.
    pub checks: Arc<dyn Fn() -> Vec<Check> + Send + Sync>,
    /// Whether the service is about to end.
    pub lifecycle: Lifecycle,
    /// The service's metrics.
    pub registry: Registry,
}

/// The routes of the probes.
pub fn probe_routes(probes: Probes) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probes)
}

async fn health(State(probes): State<Probes>) -> impl IntoResponse {
    if (probes.alive)() {
        (StatusCode::OK, Json(json!({"status": "healthy"})))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({"status": "unhealthy"})),
        )
    }
}

async fn ready(State(probes): State<Probes>) -> impl IntoResponse {
    let mut checks = (probes.checks)();
    if probes.lifecycle.draining.is_cancelled() {
        checks.push(Check {
            name: "draining",
            outcome: Err("the service is about to end".into()),
        });
    }
    if checks.iter().all(|check| check.outcome.is_ok()) {
        return (StatusCode::OK, Json(json!({"status": "ready"})));
    }
    let outcomes: Map<_, _> = checks
        .into_iter()
        .map(|check| {
            (
                check.name.to_owned(),
                check.outcome.map_or_else(Into::into, |()| "ok".into()),
            )
        })
        .collect();
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({"status": "not ready", "checks": outcomes})),
    )
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        metrics::text(&probes.registry),
    )
}
