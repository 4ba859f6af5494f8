//! The probes `/health`, `/ready` and `/metrics`.

mod management;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::response::encoding::negotiate;
use service::{lifecycle::Lifecycle, probe::Check};
use telemetry::metrics::{Format, ServiceMetrics};

pub use management::{Listeners, serve_management};

/// The sources of the probes' responses.
#[derive(Clone)]
pub struct Probes {
    /// Returns true if the process itself is alive. It ignores dependencies: a restart does not repair them.
    pub alive: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Returns the checks of the dependencies, from memory.
    pub checks: Arc<dyn Fn() -> Vec<Check> + Send + Sync>,
    /// The lifecycle, for draining.
    pub lifecycle: Lifecycle,
    /// The service's metrics.
    pub metrics: ServiceMetrics,
}

/// The liveness of the process.
#[derive(Serialize, ToSchema)]
struct HealthDocument {
    /// `healthy` or `unhealthy`.
    #[schema(value_type = String)]
    status: &'static str,
}

/// The readiness of the service.
#[derive(Serialize, ToSchema)]
struct ReadinessDocument {
    /// `ready` or `not ready`.
    #[schema(value_type = String)]
    status: &'static str,
    /// The outcome of each check: `ok` or the error. Left out if all are ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    checks: Option<BTreeMap<String, String>>,
}

/// Returns true if the path is that of a probe.
pub(crate) fn is_probe(path: &str) -> bool {
    matches!(path, "/health" | "/ready" | "/metrics")
}

impl Probes {
    /// Returns the outcomes of all checks.
    fn outcomes(&self) -> Vec<Check> {
        let mut checks = (self.checks)();
        if self.lifecycle.draining.is_cancelled() {
            checks.push(Check {
                name: "draining",
                outcome: Err("the service is shutting down".into()),
            });
        }
        checks
    }
}

/// Returns the routes of all probes, for operators and Prometheus.
pub fn probe_routes(probes: Probes) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .with_state(probes)
}

/// Returns the routes of the public probes for load balancers. Their responses have only a status.
pub(crate) fn status_routes(probes: Probes) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready_status))
        .with_state(probes)
}

/// The liveness of the process
///
/// It ignores dependencies: a restart does not repair them.
#[utoipa::path(get, path = "/health", tag = "probes", operation_id = "get_health", responses(
    (status = OK, description = "The process is alive.", body = HealthDocument),
    (status = SERVICE_UNAVAILABLE, description = "The process should be restarted.", body = HealthDocument),
))]
async fn health(State(probes): State<Probes>) -> impl IntoResponse {
    let (code, status) = if (probes.alive)() {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    (code, Json(HealthDocument { status }))
}

/// The readiness of the service
///
/// The response comes from memory.
#[utoipa::path(get, path = "/ready", tag = "probes", operation_id = "get_readiness", responses(
    (status = OK, description = "The service should get requests.", body = ReadinessDocument),
    (status = SERVICE_UNAVAILABLE, description = "The service should not get requests, for these reasons.", body = ReadinessDocument),
))]
async fn ready(State(probes): State<Probes>) -> impl IntoResponse {
    let checks = probes.outcomes();
    if checks.iter().all(|check| check.outcome.is_ok()) {
        return readiness(true);
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

/// The readiness of the service
///
/// The response comes from memory. The management port has the reasons.
#[utoipa::path(get, path = "/ready", tag = "probes", operation_id = "get_readiness", responses(
    (status = OK, description = "The service should get requests.", body = ReadinessDocument),
    (status = SERVICE_UNAVAILABLE, description = "The service should not get requests.", body = ReadinessDocument),
))]
async fn ready_status(State(probes): State<Probes>) -> impl IntoResponse {
    let checks = probes.outcomes();
    readiness(checks.iter().all(|check| check.outcome.is_ok()))
}

fn readiness(is_ready: bool) -> (StatusCode, Json<ReadinessDocument>) {
    let (code, status) = if is_ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let checks = None;
    (code, Json(ReadinessDocument { status, checks }))
}

/// The service's metrics, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "probes", operation_id = "get_metrics", responses(
    (status = OK, description = "The metrics in the text format of Prometheus, or of OpenMetrics for clients that prefer it.",
        content((String = "text/plain"), (String = "application/openmetrics-text"))),
))]
async fn metrics(State(probes): State<Probes>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).into_iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::preferred(&accept.join(","));
    let exposition = probes.metrics.exposition(format);
    let response_headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept, accept-encoding"),
    ];
    let body = negotiate(&headers, || exposition.plain(), || exposition.gzip());
    (response_headers, body).into_response()
}
