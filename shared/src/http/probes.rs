//! `/health`, `/ready` and `/metrics`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use tower_http::compression::CompressionLayer;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{lifecycle::Lifecycle, metrics::ServiceMetrics, probe::Check};

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
    pub metrics: ServiceMetrics,
}

/// Whether the process is alive.
#[derive(Serialize, ToSchema)]
struct HealthDocument {
    /// `healthy` or `unhealthy`.
    #[schema(value_type = String)]
    status: &'static str,
}

/// Whether the service should get requests.
#[derive(Serialize, ToSchema)]
struct ReadinessDocument {
    /// `ready` or `not ready`.
    #[schema(value_type = String)]
    status: &'static str,
    /// The outcome of every check, `ok` or what is wrong; left out when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    checks: Option<BTreeMap<String, String>>,
}

/// The routes of the probes.
pub fn probe_routes(probes: Probes) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .with_state(probes)
        .layer(CompressionLayer::new())
}

/// Whether the process is alive
///
/// It never looks at a dependency: restarting does not mend those.
#[utoipa::path(get, path = "/health", tag = "probes", operation_id = "get_health", responses(
    (status = OK, description = "It is alive.", body = HealthDocument),
    (status = SERVICE_UNAVAILABLE, description = "It should be restarted.", body = HealthDocument),
))]
async fn health(State(probes): State<Probes>) -> impl IntoResponse {
    let (code, status) = if (probes.alive)() {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    (code, Json(HealthDocument { status }))
}

/// Whether the service should get requests
///
/// Answered from memory.
#[utoipa::path(get, path = "/ready", tag = "probes", operation_id = "get_readiness", responses(
    (status = OK, description = "It should.", body = ReadinessDocument),
    (status = SERVICE_UNAVAILABLE, description = "It should not, for these reasons.", body = ReadinessDocument),
))]
async fn ready(State(probes): State<Probes>) -> impl IntoResponse {
    let mut checks = (probes.checks)();
    if probes.lifecycle.draining.is_cancelled() {
        checks.push(Check {
            name: "draining",
            outcome: Err("the service is about to end".into()),
        });
    }
    if checks.iter().all(|check| check.outcome.is_ok()) {
        let document = ReadinessDocument {
            status: "ready",
            checks: None,
        };
        return (StatusCode::OK, Json(document));
    }
    let outcomes = checks
        .into_iter()
        .map(|check| {
            (
                check.name.to_owned(),
                check.outcome.map_or_else(Into::into, |()| "ok".into()),
            )
        })
        .collect();
    let document = ReadinessDocument {
        status: "not ready",
        checks: Some(outcomes),
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(document))
}

/// The service's metrics, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "probes", operation_id = "get_metrics", responses(
    (status = OK, description = "The metrics as text.", body = String, content_type = "text/plain"),
))]
async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        probes.metrics.text(),
    )
}
